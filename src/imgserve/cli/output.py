"""Exit statuses, options and output that the commands share. Each command returns its exit status."""

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

import msgspec

from imgserve.cli.control import Client, NoServer
from imgserve.settings import load

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run = Callable[[argparse.Namespace], int]

T = TypeVar("T")

DONE, FAILED, USAGE, NO_SERVER = 0, 1, 2, 3
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_UNIT_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def client_of(flags: argparse.Namespace) -> Client:
    return Client(load.locate(flags).data_dir)


def asks(parser: argparse.ArgumentParser, run: Run) -> None:
    """For a command that calls a server: its options, and an exit status of its own where there is no server."""

    def asking(flags: argparse.Namespace) -> int:
        try:
            return run(flags)
        except NoServer as error:
            complain(error.sentence())
            return NO_SERVER

    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    add_place(parser)
    parser.set_defaults(run=asking)


def add_place(parser: argparse.ArgumentParser) -> None:
    load.add_flags(parser, ("config", "data_dir"))


def duration(text: str) -> float:
    """Seconds from ``90``, ``15m``, ``2h``, ``3d``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a time such as 90s, 15m, 2h or 3d, got {text!r}")
    return float(match[1]) * _UNIT_S[match[2]]


def age(seconds: float) -> str:
    """``42s``, ``7m``, ``3h``, ``12d``: the largest unit that is whole."""
    for unit in ("d", "h", "m"):
        if seconds >= _UNIT_S[unit]:
            return f"{seconds / _UNIT_S[unit]:.0f}{unit}"
    return f"{max(seconds, 0.0):.0f}s"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def show(value: msgspec.Struct, text: str, *, is_json: bool) -> None:
    say(msgspec.json.encode(value).decode() if is_json else text)


def complain(sentence: str) -> None:
    sys.stderr.write(f"imgserve: {sentence}\n")


def progress(items: Iterable[T], total: int, action: str) -> Iterator[T]:
    """``items``, with a bar on stderr when it is a terminal and there is more than one."""
    with bar(total, action) as advance:
        for item in items:
            yield item
            advance()


@contextlib.contextmanager
def bar(total: int, action: str) -> Iterator[Callable[[], None]]:
    """A bar on stderr when it is a terminal and there is more than one item; call the function after each item."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console  # only where a bar is drawn
    from rich.progress import Progress

    # Lines for the same terminal go above the bar; those for a file or a pipe stay theirs.
    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as shown:
        task = shown.add_task(action, total=total)
        yield lambda: shown.advance(task)
