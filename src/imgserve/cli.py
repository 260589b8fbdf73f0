"""Words to calls: the ``imgserve`` command."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from imgserve.errors import ImgserveError
from imgserve.settings import load


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0: done; 1: could not be done, with one sentence on stderr; 2: wrong usage."""
    parser = _parser()
    flags = parser.parse_args(argv)
    if flags.command == "version":
        sys.stdout.write(f"imgserve {version('imgserve')}\n")
        return 0
    if flags.command == "start":
        return _start(flags)
    parser.print_help()
    return 0


def _start(flags: argparse.Namespace) -> int:
    from imgserve import service  # `imgserve help` needs no server

    try:
        return service.run(load.load(flags, load.process_environment()))
    except (ImgserveError, OSError) as error:
        sentence = error.sentence() if isinstance(error, ImgserveError) else str(error)
        sys.stderr.write(f"imgserve: {sentence}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("imgserve", description="An image-processing server.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    start = commands.add_parser("start", help="start the server (in the foreground)", allow_abbrev=False)
    start.add_argument("--foreground", action="store_true", help="do not detach (this version never does)")
    load.add_flags(start)
    commands.add_parser("version", help="print the version")
    commands.add_parser("help", help="print this help")
    return parser
