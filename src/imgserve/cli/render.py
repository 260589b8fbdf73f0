"""``imgserve render``: one picture, no server. A job is made of the words, and takes the road of the server's jobs:
the same checks, the same sandboxed worker, the same writing of files (beside it, synced, renamed over it).
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
from imgserve.imaging.pool import Pool, PoolCannotStart
from imgserve.request.classic import parse as classic
from imgserve.request.faults import beneath
from imgserve.request.fields import fields_of, words_of
from imgserve.request.job import JobRequest, ResolvedOutput, resolve
from imgserve.request.limits import Limits
from imgserve.request.recipe import MEDIA_TYPE, LoadOptions, OutputOptions
from imgserve.settings import load
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers, Write

STANDARD = "-"
WRITE_TIMEOUT_S = 60.0


_OWNERS = classic.OPERATIONS | {"the source": LoadOptions, "the result": OutputOptions}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="path of a picture; - reads standard input")
    parser.add_argument(
        "destination", metavar="DST", help="path of the result, may contain tags; - writes standard output"
    )
    parser.add_argument(
        "--operation",
        choices=tuple(classic.OPERATIONS),
        default="resize",
        metavar="WORD",
        help="the operation (default: %(default)s)",
    )
    for name, kind in _fields().items():
        owners = " and ".join(owner for owner, struct in _OWNERS.items() if name in fields_of(struct))
        _add_field(parser, name, kind, f"for {owners}")
    parser.set_defaults(run=_render)


def _fields() -> dict[str, inspect.Type]:
    """The fields of a recipe. Those that two operations have need the same kind of flag for both."""
    return {name: kind for struct in _OWNERS.values() for name, kind in fields_of(struct).items()}


def _add_field(parser: argparse.ArgumentParser, name: str, kind: inspect.Type, about: str) -> None:
    """A flag for one field; whether its value fits is judged later, where a job's is."""
    flag = _flag(name)
    if isinstance(kind, inspect.BoolType):
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=about)
    elif isinstance(kind, inspect.IntType | inspect.FloatType):
        parser.add_argument(flag, type=_number, metavar="N", help=about)
    else:
        parser.add_argument(flag, metavar="WORD" if words_of(kind) else "VALUE", help=about)


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
        asyncio.run(_carry_out(flags, classic.parse(_as_job(flags))))
    except PoolCannotStart as error:
        output.complain(str(error))
        return output.FAILED
    except ImgserveError as error:
        output.complain(error.sentence(_spelt))
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
    """Symbolic links are followed here, since the transfers follow none that lead out of a root."""
    return "file:///-" if path == STANDARD else "file://" + quote(os.path.realpath(path), safe=safe)


async def _carry_out(flags: argparse.Namespace, request: JobRequest) -> None:
    limits = Limits()
    everywhere = Config(read_roots=("/",), write_roots=("/",))
    is_system_allowed = load.allows_system_libvips()
    config = PoolConfig(workers=1, allow_system_libvips=is_system_allowed)
    transfers, workers = Transfers(everywhere, limits), Pool(config, limits)
    renderer = Renderer(transfers, workers)
    try:
        await workers.start()
        with ExitStack() as held:
            if flags.source == STANDARD:
                source = held.enter_context(Blob.of(sys.stdin.buffer.read(limits.source_bytes + 1)))
            else:
                source = held.enter_context(await renderer.source(request.source, None))
            with beneath("outputs", 0):
                is_strict = request.outputs[0].recipe.load.strict
                info = await workers.probe(source, is_complete=True, is_strict=is_strict)
                assert info is not None  # all bytes are there
                resolved = resolve(request.outputs[0], request.source, info, limits)
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
    media_type = MEDIA_TYPE[resolved.rendering.format]
    write = Write("final", media_type, f"render-{uuid.uuid4().hex}", 0, WRITE_TIMEOUT_S)
    await transfers.deliver(destination, picture, write)
    output.say(f"{Path(destination.path)}  {size.width_px}x{size.height_px}")


def _spelt(field: FieldRef) -> str:
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
