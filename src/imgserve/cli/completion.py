"""``imgserve completion SHELL``: a script that lets the shell complete commands, options and file names."""

import argparse
from collections.abc import Iterator

import shtab

from imgserve.cli import main, output

SHELLS = ("bash", "zsh", "fish")
FILES = frozenset({"FILE", "SRC", "DST", "JOB.json"})
DIRECTORIES = frozenset({"DIR"})


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="the shell")
    parser.set_defaults(run=_print)


def _print(flags: argparse.Namespace) -> int:
    parser = main.whole()
    for action in _actions(parser):
        if action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    output.say(shtab.complete(parser, flags.shell))
    return output.DONE


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
