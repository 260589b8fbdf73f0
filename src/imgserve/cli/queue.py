"""``imgserve queue``: an operator's work on the queue file of a server that is stopped."""

import argparse

from imgserve.cli import output
from imgserve.settings import load


def add(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    about = "shrink the queue file: return the space of deleted jobs to the disk"
    compacter = actions.add_parser("compact", help=about)
    output.add_place(compacter)
    compacter.set_defaults(run=_compact)
    about = "move the jobs of the queue file into the PostgreSQL database of --queue; run it again when it was cut off"
    mover = actions.add_parser("move", help=about)
    load.add_flags(mover, ("config", "data_dir", "queue", "queue_password_file", "queue_direct"))
    mover.set_defaults(run=_move)


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


def _move(flags: argparse.Namespace) -> int:
    settings = load.load(flags)
    place = settings.queue_address
    if not place.is_postgres:
        output.complain("there is no database to move the jobs into; --queue names it")
        return output.USAGE
    from imgserve.clock import Clock
    from imgserve.jobs.move import move
    from imgserve.jobs.postgres.address import Address
    from imgserve.jobs.sqlite.datadir import UPLOADS

    bucket = settings.uploads.bucket
    moved = move(settings.data_dir, Address.of(place), settings.queue, Clock(), output.say, with_pictures=not bucket)
    if not moved.is_new:
        output.say(f"{place.shown} has the jobs of {settings.data_dir} already")
        return output.DONE
    output.say(f"{place.shown} has the jobs of {settings.data_dir} now: {moved.rows['job']:,}, all rows compared")
    if bucket and moved.rows["upload"]:
        files = settings.data_dir / UPLOADS
        output.say(f"copy the files of {files} to {bucket} now, under their own names, before a server starts")
    return output.DONE
