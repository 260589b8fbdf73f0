"""``imgserve render``: one picture, without a server.

The command line becomes a job. Its checks, the sandboxed worker and the writing of files are those of a server's jobs.
"""

import argparse
import asyncio
import os
import sys
import uuid
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import msgspec
from msgspec import inspect

from imgserve.blob import Blob
from imgserve.cli import output
from imgserve.engine.render import Renderer
from imgserve.errors import FieldRef, ImgserveError, using
from imgserve.imaging.config import Config as PoolConfig
from imgserve.imaging.pool import Pool
from imgserve.request.classic import parse as classic
from imgserve.request.classic.recipe import TYPES, Own
from imgserve.request.faults import beneath
from imgserve.request.fields import fields_of
from imgserve.request.job import JobRequest, ResolvedOutput, resolve
from imgserve.request.limits import Limits
from imgserve.request.native import OPERATIONS
from imgserve.request.recipe import MEDIA_TYPE, LoadOptions, OutputOptions
from imgserve.request.values import words_of
from imgserve.settings import load
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers, Write

STANDARD = "-"
WRITE_TIMEOUT_S = 60.0

_OWNERS = {name: OPERATIONS[name] for name in TYPES} | {
    "the source": LoadOptions, "the result": OutputOptions, "a resize": Own,
}  # fmt: skip


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="path of a picture; - reads standard input")
    about = "path of the result, may contain tags; - writes standard output"
    parser.add_argument("destination", metavar="DST", help=about)
    words, about = TYPES, "the operation (default: %(default)s)"
    parser.add_argument("--operation", choices=words, default="resize", metavar="WORD", help=about)
    for name, kind in _fields().items():  # the parser of jobs checks their values
        about = "for " + " and ".join(owner for owner, struct in _OWNERS.items() if name in fields_of(struct))
        if isinstance(kind, inspect.BoolType):
            parser.add_argument(_flag(name), action=argparse.BooleanOptionalAction, help=about)
        elif isinstance(kind, inspect.IntType | inspect.FloatType):
            parser.add_argument(_flag(name), type=_number, metavar="N", help=about)
        else:
            parser.add_argument(_flag(name), metavar="WORD" if words_of(kind) else "VALUE", help=about)
    parser.set_defaults(run=_render)


def _fields() -> dict[str, inspect.Type]:
    """The fields of a recipe. Those that two operations have need the same kind of flag for both."""
    return {name: kind for struct in _OWNERS.values() for name, kind in fields_of(struct).items()}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _number(text: str) -> int | float:
    try:
        return msgspec.json.decode(text, type=int | float)
    except msgspec.DecodeError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def _render(flags: argparse.Namespace) -> int:
    try:
        if flags.source != STANDARD:
            with using(f"the picture {flags.source}"):  # before a worker is started for nothing
                Path(flags.source).open("rb").close()
        asyncio.run(_run(flags, classic.parse(_as_job(flags))))
    except ImgserveError as error:
        output.complain(error.sentence(_spelling))
        return output.FAILED
    return output.DONE


def _as_job(flags: argparse.Namespace) -> bytes:
    """The classic protocol's JSON: its checks, tags and formats hold here too."""
    args = {name: value for name in _fields() if (value := getattr(flags, name)) is not None}
    job = {
        "operationType": flags.operation,
        "srcURL": _file_url(flags.source, safe="/"),
        "dstURL": _file_url(flags.destination, safe="/{$}"),
        "args": args,
    }
    return msgspec.json.encode(job)


def _file_url(path: str, safe: str) -> str:
    """Follows symbolic links, since the transfers follow none that lead out of a root."""
    return "file:///-" if path == STANDARD else "file://" + quote(os.path.realpath(path), safe=safe)


async def _run(flags: argparse.Namespace, request: JobRequest) -> None:
    limits = Limits()
    transfers = Transfers(Config(read_roots=("/",), write_roots=("/",)), limits)
    workers = Pool(PoolConfig(workers=1, allow_system_libvips=load.allows_system_libvips()), limits)
    renderer = Renderer(transfers, workers)
    try:
        await workers.start()
        with ExitStack() as held:
            if flags.source == STANDARD:
                source = held.enter_context(Blob.of(sys.stdin.buffer.read(limits.source_bytes + 1)))
            else:
                (source,) = await renderer.sources((request.source,))
                held.enter_context(source)
            with beneath("outputs", 0):
                [wanted] = request.outputs
                info = await workers.probe(source, is_complete=True, is_strict=wanted.recipe.load.strict)
                assert info is not None  # all bytes are there
                resolved = resolve(wanted, request.source, info, limits)
                picture = held.enter_context(await renderer.rendition(source, info, resolved.rendering, is_alone=False))
            if flags.destination == STANDARD:
                sys.stdout.buffer.write(picture.read())
                sys.stdout.buffer.flush()
            else:
                await _store(transfers, resolved, picture)
    finally:
        await transfers.aclose()
        await workers.aclose()


async def _store(transfers: Transfers, resolved: ResolvedOutput, picture: Blob) -> None:
    size, destination = resolved.rendering.size, resolved.placement.destination
    write = Write("final", MEDIA_TYPE[resolved.rendering.format], f"render-{uuid.uuid4().hex}", 0, WRITE_TIMEOUT_S)
    await transfers.deliver(destination, picture, write)
    output.say(f"{Path(destination.path)}  {size.width_px}x{size.height_px}" if size else f"{Path(destination.path)}")


def _spelling(field: FieldRef) -> str:
    """A field of the job as this command calls it; a value is written as its option takes it."""
    match field.path:
        case ("source", *_):
            return "SRC"
        case ("outputs", 0, "destination"):
            return "DST"
        case ("outputs", 0, "operations", 0):
            return f"{_flag('width')}, {_flag('height')}"
        case (*_, name):
            if isinstance(field.value, str):
                return f"{_flag(str(name))} {field.value}"
            return _flag(f"no-{name}" if field.value is False else str(name))
        case _:
            return ""
