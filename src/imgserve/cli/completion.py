"""``imgserve completion SHELL``: a script that lets the shell complete commands, options and file names."""

import argparse
from collections.abc import Iterator

import shtab

from imgserve.cli import main, output

SHELLS = ("bash", "zsh", "fish")
# What to complete for an option or argument, by its metavar.
KINDS = dict.fromkeys(("FILE", "SRC", "DST", "JOB.json"), shtab.FILE) | {"DIR": shtab.DIRECTORY}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="the shell")
    parser.set_defaults(run=_print)


def _print(flags: argparse.Namespace) -> int:
    parser = main.whole()
    for action in _actions(parser):
        if action.metavar in KINDS:
            action.complete = KINDS[action.metavar]  # type: ignore[attr-defined]
    output.say(shtab.complete(parser, flags.shell))
    return output.DONE


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
