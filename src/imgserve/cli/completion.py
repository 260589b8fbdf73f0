"""``imgserve completion SHELL``: a script that lets the shell complete commands, options and file names."""

import argparse
from collections.abc import Iterator

from imgserve.cli import output
from imgserve.cli.output import Commands

SHELLS = ("bash", "zsh", "fish")
FILES = frozenset({"FILE", "SRC", "DST", "JOB.json"})
DIRECTORIES = frozenset({"DIR"})


def add(commands: Commands, whole: argparse.ArgumentParser) -> None:
    """``whole`` is the parser of all commands."""
    parser = commands.add_parser("completion", help="print a script for the shell", allow_abbrev=False)
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="whose")
    parser.set_defaults(run=lambda flags: _print(whole, flags.shell))


def _print(whole: argparse.ArgumentParser, shell: str) -> int:
    import shtab  # only here

    for action in _actions(whole):
        if action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    output.say(shtab.complete(whole, shell))
    return output.DONE


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
