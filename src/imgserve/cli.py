"""Words to calls: the ``imgserve`` command."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from imgserve import settings
from imgserve.errors import ImgserveError

DEFAULT_HOST = "0.0.0.0"  # noqa: S104 - as ever; protected mode serves loopback clients only until there are keys
DEFAULT_PORT = 8602


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
        return service.run(settings.load(flags, settings.process_environment()))
    except (ImgserveError, OSError) as error:
        sentence = error.sentence() if isinstance(error, ImgserveError) else str(error)
        sys.stderr.write(f"imgserve: {sentence}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("imgserve", description="An image-processing server.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    start = commands.add_parser("start", help="start the server (in the foreground)", allow_abbrev=False)
    start.add_argument("--host", "-host", default=DEFAULT_HOST, help="address to listen on (default: %(default)s)")
    start.add_argument("--port", "-port", type=int, default=DEFAULT_PORT, help="port (default: %(default)s; 0: any)")
    start.add_argument("--foreground", action="store_true", help="do not detach (this version never does)")
    start.add_argument("--data-dir", metavar="DIR", help="where the queue is kept (default: ~/.imgserve)")
    start.add_argument("--workers", type=int, metavar="N", help="render processes (default: one per CPU)")
    start.add_argument(
        "--allow-network", action="append", default=[], metavar="CIDR",
        help="allow sources and destinations in this private network; repeatable",
    )  # fmt: skip
    start.add_argument(
        "--read-root", action="append", default=[], metavar="DIR", help="allow file: sources beneath DIR; repeatable"
    )
    start.add_argument(
        "--write-root", action="append", default=[], metavar="DIR",
        help="allow file: destinations beneath DIR; repeatable",
    )  # fmt: skip
    start.add_argument("--api-key-file", metavar="FILE", help="serve clients that show a key of this file (one a line)")
    commands.add_parser("version", help="print the version")
    commands.add_parser("help", help="print this help")
    return parser
