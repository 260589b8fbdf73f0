"""``imgserve import-config``: the settings of imgproxy or thumbor as settings of imgserve, on standard output.

Settings without a counterpart are listed on stderr, one line each. Nothing of the other server's file is executed.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from imgserve.cli import output
from imgserve.cli.moving.draft import Draft
from imgserve.errors import using

_ABOUT = {
    "imgproxy": "read an environment file with IMGPROXY_ variables",
    "thumbor": "read a thumbor.conf",
}
_STATUS = "exit status: 0 done, 1 a setting that protects something has no counterpart"


def add(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", metavar="SERVER", required=True)
    for name, about in _ABOUT.items():
        command = kinds.add_parser(name, help=about, description=f"{about}, print a settings file; {_STATUS}")
        command.add_argument("file", type=Path, metavar="FILE", help="the other server's settings")
        command.set_defaults(run=_import)


def _import(flags: argparse.Namespace) -> int:
    with using(f"the file {flags.file}"):
        text = flags.file.read_text(encoding="utf-8-sig", errors="replace")
    draft = _reader(flags.kind)(text)
    for note in draft.notes:
        output.complain(f"{note.name}: {note.sentence}")
    output.say(draft.toml(flags.file.name).rstrip("\n"))
    return output.FAILED if any(note.is_security for note in draft.notes) else output.DONE


def _reader(kind: str) -> Callable[[str], Draft]:
    if kind == "imgproxy":
        from imgserve.cli.moving import imgproxy

        return imgproxy.drafted
    from imgserve.cli.moving import thumbor

    return thumbor.drafted
