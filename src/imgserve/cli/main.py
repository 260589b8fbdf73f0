"""The ``imgserve`` command: command line in, calls out.

Each command loads its modules when it runs, so that ``status`` and ``stop`` load no server.
"""

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from imgserve.cli.output import Commands
from imgserve.cli.parser import Parser
from imgserve.errors import FileUnusable, ImgserveError, sentence_of
from imgserve.settings import load
from imgserve.settings.options import BY_NAME

INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 and the signal's number, as for a program that it ends


class Command(NamedTuple):
    """``run`` answers with the exit status; ``settings`` are the names of those that it has flags for."""

    help: str
    run: Callable[[argparse.Namespace], int]
    settings: Iterable[str] = ()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0: done; 1: could not be done, with one sentence on stderr; 2: wrong usage; 3, 4: see ``status``."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = whole(next((word for word in words if not word.startswith("-")), ""))
    flags: argparse.Namespace = parser.parse_args(words)
    name = "version" if flags.version else flags.command or "help"
    run = getattr(flags, "run", None) or COMMANDS[name].run
    try:
        status = run(flags)
        sys.stdout.flush()
        return status  # noqa: TRY300 - the flush may fail too
    except BrokenPipeError:  # as with ``| head``: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the interpreter's own last flush
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ImgserveError, OSError) as error:
        sys.stderr.write(f"imgserve: {sentence_of(error)}\n")
        _give_up_output()
        return 1


def _give_up_output() -> None:
    """Drop what stdout does not take, as on a full disk. Else the interpreter's own last flush fails once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _need_proc() -> None:
    """Before anything reads it: the error of the first one that does would name something else. Raises FileUnusable."""
    if not Path("/proc/self").exists():
        raise FileUnusable(
            "there is no /proc, which the server and its workers need", "mount it: mount -t proc proc /proc"
        )


def _start(flags: argparse.Namespace) -> int:
    _need_proc()
    gc.disable()  # to look through modules takes a fifth of their CPU time and finds nothing; lifecycle enables it
    from imgserve.server import detach

    return detach.start(load.load(flags), is_foreground=flags.foreground)


def _stop(flags: argparse.Namespace) -> int:
    from imgserve.cli import server

    return server.stop(load.locate(flags), is_kill=flags.kill)


def _restart(flags: argparse.Namespace) -> int:
    from imgserve.cli import server
    from imgserve.server import detach

    _need_proc()
    places = load.locate(flags)
    settings = load.load(flags)  # before the old server is stopped for nothing
    server.check_restart(places)
    return server.stop(places, is_kill=flags.kill) or detach.start(settings, is_foreground=False)


def _status(flags: argparse.Namespace) -> int:
    from imgserve.cli import server

    return server.status(load.locate(flags), is_json=flags.json, is_cluster=flags.cluster)


def _check(flags: argparse.Namespace) -> int:
    from imgserve.cli.check import report

    _need_proc()
    try:
        return report.check(load.load(flags, is_look=True), "", is_json=flags.json)
    except load.SettingsInvalid as error:
        return report.check(None, error.sentence(), is_json=flags.json)


def _version(_: argparse.Namespace) -> int:
    from importlib.metadata import version

    sys.stdout.write(f"imgserve {version('imgserve')}\n")
    return 0


def _help(flags: argparse.Namespace) -> int:
    about = getattr(flags, "about", None) or []
    whole(about[0] if about else "").named(about).print_help()
    return 0


PLACE = ("config", *load.PLACES)
COMMANDS = {
    "start": Command("start the server", _start, BY_NAME),
    "stop": Command("stop the server: running jobs finish, waiting jobs are kept", _stop, PLACE),
    "restart": Command("stop the server and start it again", _restart, BY_NAME),
    "status": Command(
        "show the server's state; exit status: 0 running, 1 died, 3 not running, 4 another user's", _status, PLACE
    ),
    "check": Command(
        "check installation and settings; exit status: 0 ok, 1 warnings, 2 faults, 3 unknown", _check, BY_NAME
    ),
    "version": Command("print the version", _version),
    "help": Command("print this help, or the help of a command such as: jobs list", _help),
}
# Each stands in a module of its name.
TOOLS = {
    "submit": "post jobs to the running server",
    "jobs": "list, show, retry or cancel jobs",
    "cache": "purge cached pictures, or show what the cache holds",
    "webhooks": "receive webhooks on a developer's machine",
    "queue": "maintain the queue file of a stopped server",
    "render": "render one picture, without a server",
    "sign": "print signed URLs of pictures for imgproxy's or thumbor's grammar",
    "import-config": "turn settings of imgproxy or thumbor into settings of imgserve",
    "completion": "print a completion script for the shell",
}


def whole(wanted: str | None = None) -> Parser:
    """The parser of all commands. ``wanted``: the only one whose options are needed, so that no other is loaded."""
    parser = Parser("imgserve", description="An image-processing server.")
    parser.add_argument("--version", action="store_true", help="print the version")
    places: Commands = parser.add_subparsers(dest="command", metavar="COMMAND")  # type: ignore[assignment]
    for name, help_ in {**{name: each.help for name, each in COMMANDS.items()}, **TOOLS}.items():
        command = places.add_parser(name, help=help_, description=help_)
        if wanted is None or wanted == name:
            _add_options(name, command)
    return parser


def _add_options(name: str, parser: argparse.ArgumentParser) -> None:
    if name in TOOLS:
        importlib.import_module(f"imgserve.cli.{name.replace('-', '_')}").add(parser)
        return
    load.add_flags(parser, COMMANDS[name].settings)
    if name == "start":
        parser.add_argument("--foreground", action="store_true", help="do not detach; log to stderr, no pid file")
    elif name in ("stop", "restart"):
        parser.add_argument("--kill", "-KILL", action="store_true", help="end it at once; no job is lost")
    elif name in ("status", "check"):
        parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
        if name == "status":
            parser.add_argument("--cluster", action="store_true", help="list the servers that share its queue")
    elif name == "help":
        parser.add_argument("about", nargs="*", metavar="COMMAND")
