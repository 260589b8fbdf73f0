"""Words to calls: the ``imgserve`` command."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import NamedTuple

from imgserve.cli import completion, jobs, queue, render, server, submit
from imgserve.cli.output import INTERRUPTED, Commands
from imgserve.cli.parser import Parser
from imgserve.errors import ImgserveError, sentence_of
from imgserve.settings import load
from imgserve.settings.options import BY_NAME

BROKEN_PIPE = 141  # 128 and the number of SIGPIPE, as for a program that it ends


class Command(NamedTuple):
    """``run`` answers with the exit status; ``settings`` are the names of those that it has flags for."""

    help: str
    run: Callable[[argparse.Namespace], int]
    settings: Iterable[str] = ()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0: done; 1: could not be done, with one sentence on stderr; 2: wrong usage; 3, 4: see ``status``."""
    parser, _ = parsers()
    flags: argparse.Namespace = parser.parse_args(argv)
    run = getattr(flags, "run", None) or COMMANDS[flags.command or "help"].run
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
        return 1


def _start(flags: argparse.Namespace) -> int:
    from imgserve.server import detach  # `imgserve help` needs no server

    return detach.start(load.load(flags, load.process_environment()), is_foreground=flags.foreground)


def _stop(flags: argparse.Namespace) -> int:
    return server.stop(load.locate(flags, load.process_environment()), is_kill=flags.kill)


def _restart(flags: argparse.Namespace) -> int:
    from imgserve.server import detach

    places = load.locate(flags, load.process_environment())
    settings = load.load(flags, load.process_environment())  # before the old server is stopped for nothing
    server.check_restart(places)
    return server.stop(places, is_kill=flags.kill) or detach.start(settings, is_foreground=False)


def _status(flags: argparse.Namespace) -> int:
    return server.status(load.locate(flags, load.process_environment()), is_json=flags.json)


def _check(flags: argparse.Namespace) -> int:
    from imgserve.cli.check import report

    try:
        return report.check(load.load(flags, load.process_environment(), is_look=True), "", is_json=flags.json)
    except load.SettingsInvalid as error:
        return report.check(None, error.sentence(), is_json=flags.json)


def _version(_: argparse.Namespace) -> int:
    sys.stdout.write(f"imgserve {version('imgserve')}\n")
    return 0


def _help(flags: argparse.Namespace) -> int:
    parser, _ = parsers()
    parser.named(getattr(flags, "about", None) or []).print_help()
    return 0


PLACE = ("config", *load.PLACES)
COMMANDS = {
    "start": Command("start the server", _start, BY_NAME),
    "stop": Command("stop it: running jobs are finished, waiting ones are kept", _stop, PLACE),
    "restart": Command("stop it and start it anew", _restart, BY_NAME),
    "status": Command("whether it runs: 0 yes, 1 it died, 3 no, 4 another user's", _status, PLACE),
    "check": Command(
        "look at the installation and for unsafe settings: 0 well, 1 warnings, 2 faults, 3 unknown", _check, BY_NAME
    ),
    "version": Command("print the version", _version),
    "help": Command("print this help, or that of a command such as: jobs list", _help),
}


def parsers() -> tuple[Parser, dict[str, Parser]]:
    """The whole command's, and each subcommand's by its name."""
    parser = Parser("imgserve", description="An image-processing server.", allow_abbrev=False)
    parser.add_argument(
        "--version", action="version", version=f"imgserve {version('imgserve')}", help="print the version"
    )
    places: Commands = parser.add_subparsers(dest="command", metavar="COMMAND")  # type: ignore[assignment]
    each: dict[str, Parser] = places.choices  # type: ignore[assignment]
    for name, command in COMMANDS.items():
        places.add_parser(name, help=command.help, description=command.help, allow_abbrev=False)
        load.add_flags(each[name], command.settings)
    each["start"].add_argument("--foreground", action="store_true", help="do not detach; log to stderr, no pid file")
    for name in ("stop", "restart"):
        each[name].add_argument("--kill", "-KILL", action="store_true", help="end it at once; no job is lost")
    for name in ("status", "check"):
        each[name].add_argument("--json", action="store_true", help="print one JSON object, for programs")
    each["help"].add_argument("about", nargs="*", metavar="COMMAND")
    for module in (submit, jobs, queue, render):
        module.add(places)
    completion.add(places, parser)
    return parser, each
