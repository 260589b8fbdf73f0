"""``imgserve queue compact``: an operator's work on the queue file of a server that is stopped."""

import argparse

from imgserve.cli import output
from imgserve.settings import load


def add(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    about = "shrink the queue file: return the space of deleted jobs to the disk"
    compacter = actions.add_parser("compact", help=about)
    output.add_place(compacter)
    compacter.set_defaults(run=_compact)


def _compact(flags: argparse.Namespace) -> int:
    from imgserve.jobs.sqlite.compact import compact

    data_dir = load.locate(flags).data_dir
    sizes = compact(data_dir)
    if sizes is None:
        output.complain(f"there is no queue file in {data_dir}; --data-dir names another place")
        return output.FAILED
    before, after = (f"{size_bytes / 1e6:,.1f} MB" for size_bytes in (sizes.before, sizes.after))
    output.say(f"{data_dir}: the queue file had {before}, and has {after} now")
    return output.DONE
