"""``imgserve render``: pictures without a server.

The command line becomes a job for each picture. Its checks, the sandboxed worker and the writing of files are those of
a server's jobs.
"""

import argparse
import asyncio
import contextlib
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from imgserve.blob import Blob
from imgserve.cli import output, render_flags
from imgserve.cli.render_files import STANDARD, Pair, Places, file_url, pairs
from imgserve.engine import pictures
from imgserve.engine.config import PictureConfig
from imgserve.engine.render import Renderer
from imgserve.errors import FieldRef, ImgserveError, Spelling, dotted, using
from imgserve.imaging.config import Config as PoolConfig
from imgserve.imaging.config import Workers
from imgserve.imaging.pool import Pool
from imgserve.request.classic import parse as classic
from imgserve.request.classic.recipe import flat_names, read_recipe
from imgserve.request.encode import Encode, Format, ignored_fields
from imgserve.request.faults import Fault, Faults, RequestInvalid, beneath
from imgserve.request.job import JobRequest, ResolvedOutput, resolve
from imgserve.request.json_text import ParseError, read_object
from imgserve.request.limits import Limits
from imgserve.request.native import parse_recipe
from imgserve.request.principal import OPERATOR_ID
from imgserve.request.recipe import MEDIA_TYPE, Recipe
from imgserve.request.source import Source
from imgserve.request.tags import trial_of
from imgserve.settings import load
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers, Write

WRITE_TIMEOUT_S = 60.0
# The first name of paths into a recipe's file, and the preset that the command line's recipe is to its jobs.
_FILE = "FILE"


class Asked(NamedTuple):
    """The recipe of the command line, the operationType and args of its jobs, the names of fields in faults, and the
    pictures of the settings that the recipe may draw.
    """

    recipe: Recipe
    operation: str
    args: dict[str, object]
    spelling: Spelling
    pictures: dict[str, PictureConfig]


def add(parser: argparse.ArgumentParser) -> None:
    about = "path of a picture, or of a directory of pictures; - reads standard input"
    parser.add_argument("source", metavar="SRC", help=about)
    about = "path of the result, may contain tags; for a directory that of a directory; - writes standard output"
    parser.add_argument("destination", metavar="DST", help=about)
    parser.add_argument("--preset", metavar="NAME", help="a preset of the settings file")
    load.add_flags(parser, ("config",))
    about = "a recipe as JSON: load, operations, encode; options for source and result replace its own"
    parser.add_argument("--operations", metavar="FILE", help=about)
    about = "how many pictures of a directory are rendered at once (default: one per CPU)"
    parser.add_argument("--jobs", type=_count, metavar="N", help=about)
    render_flags.add(parser)
    parser.set_defaults(run=_render)


def _count(text: str) -> int:
    try:
        return msgspec.convert(text, Workers, strict=False)
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1,024, got {text!r}") from None


def _render(flags: argparse.Namespace) -> int:
    try:
        asked = _asked(flags)
        todo = pairs(flags.source, flags.destination, asked.recipe.encode.format)
        return asyncio.run(_run(asked, todo, min(flags.jobs or PoolConfig().workers, len(todo))))
    except ImgserveError as error:
        output.complain(error.sentence(partial(_spelt, flags)))
        return output.FAILED


def _asked(flags: argparse.Namespace) -> Asked:
    """Raises RequestInvalid, SettingsInvalid, FileUnusable."""
    args = render_flags.args_of(flags)
    presets: dict[str, Recipe] = {}
    if flags.preset is not None:
        args["preset"], presets = flags.preset, load.reloadable(flags, is_look=True).presets.recipes()
    if flags.operations is not None:
        if flags.preset is not None:
            note = ("contradicts ", FieldRef(("preset",)), "; give one of the two")
            raise RequestInvalid(Fault("field_invalid", (_FILE,), note))
        args["preset"], presets = _FILE, {_FILE: _recipe_in(flags.operations)}
    operation = render_flags.type_of(flags, args)
    faults = Faults()
    recipe = faults.attempt(("args",), read_recipe, operation, args, presets)
    classic.check_args(operation, args, faults)
    faults.raise_any()
    assert recipe is not None
    names = None if "preset" in args else flat_names(recipe.operations, needs_type=False)
    # Without a name in the recipe the settings need not be read.
    configs = load.reloadable(flags, is_look=True).pictures if any(image.name for image in recipe.further) else {}
    # The recipe has the format already. Beside it, a fault of the format is found in its option, not in the preset.
    job_args: dict[str, object] = {"preset": _FILE, **({} if flags.format is None else {"format": flags.format})}
    return Asked(recipe, operation or "resize", job_args, partial(_spelt, flags, names=names), configs)


def _recipe_in(file: str) -> Recipe:
    """The recipe of a file. Raises RequestInvalid, FileUnusable."""
    with using(f"the recipe {file}"):
        text = Path(file).read_bytes()
    try:
        with beneath(_FILE):
            return parse_recipe(read_object(text, "the file"))
    except ParseError as error:
        raise RequestInvalid(Fault("field_invalid", (_FILE,), str(error))) from None


def _spelt(flags: argparse.Namespace, field: FieldRef, names: Sequence[str] | None = ("",)) -> str:
    """A field of the command line or of a job, also one of a recipe's file. ``names`` as for ``render_flags.spelt``."""
    if flags.operations is not None:
        if field.path in ((_FILE,), ("args", "preset")):
            return "--operations"
        if field.path[:1] == (_FILE,):
            return f"{flags.operations}: {dotted(FieldRef(field.path[1:], field.value))}"
    return render_flags.spelt(field, names)


def _request(asked: Asked, pair: Pair) -> JobRequest:
    """The classic protocol's job: its checks, tags and formats hold here too. Raises RequestInvalid."""
    job = {
        "operationType": asked.operation,
        "srcURL": file_url(pair.source, safe="/"),
        "dstURL": file_url(pair.destination, safe="/{$}"),
        "args": asked.args,
        "placeholder": "none",
    }
    return classic.parse(msgspec.json.encode(job), {_FILE: asked.recipe})


class _Session(NamedTuple):
    asked: Asked
    limits: Limits
    transfers: Transfers
    workers: Pool
    named: pictures.NamedPictures
    renderer: Renderer
    places: Places
    warned: set[str]


async def _run(asked: Asked, todo: Sequence[Pair], at_once: int) -> int:
    """Renders all pictures, each for itself; DONE if none failed."""

    def complain(pair: Pair, error: ImgserveError) -> None:
        source = f"{pair.source}: " if len(todo) > 1 else ""
        output.complain(source + error.sentence(asked.spelling))

    jobs: list[tuple[Pair, JobRequest]] = []
    places = Places()
    for pair in todo:  # all, before a worker is started for nothing
        try:
            request = _request(asked, pair)
            if not pair.if_transparent and not request.outputs[0].destination.awaits_result:
                places.take(request.outputs[0].destination.fill(trial_of(request.source)).path, pair.source)
            jobs.append((pair, request))
        except ImgserveError as error:
            complain(pair, error)
    if not jobs:
        return output.FAILED
    free = asyncio.Semaphore(at_once)

    async def render(session: _Session, pair: Pair, request: JobRequest) -> bool:
        async with free:
            try:
                await _picture(session, pair, request)
            except ImgserveError as error:
                complain(pair, error)
                return False
            return True

    async with _session(asked, at_once, places) as session:
        with output.bar(len(jobs), "rendering") as advance:
            ends = [asyncio.create_task(render(session, pair, request)) for pair, request in jobs]
            for end in asyncio.as_completed(ends):
                await end
                advance()
    is_good = len(jobs) == len(todo) and all(end.result() for end in ends)
    return output.DONE if is_good else output.FAILED


@contextlib.asynccontextmanager
async def _session(asked: Asked, at_once: int, places: Places) -> AsyncIterator[_Session]:
    limits = Limits()
    transfers = Transfers(Config(read_roots=("/",), write_roots=("/",)), limits)
    workers = Pool(msgspec.structs.replace(load.for_workers(), workers=at_once), limits)
    named = pictures.NamedPictures()
    try:
        await workers.start()
        names = {image.name for image in asked.recipe.further}
        drawn = {name: config for name, config in asked.pictures.items() if name in names}
        named.replace(await pictures.read(drawn, workers, limits))
        renderer = Renderer(transfers, workers, named)
        yield _Session(asked, limits, transfers, workers, named, renderer, places, set())
    finally:
        named.close()
        await transfers.aclose()
        await workers.aclose()


async def _picture(session: _Session, pair: Pair, request: JobRequest) -> None:
    with ExitStack() as held:
        with beneath("outputs", 0):
            pictures.judge(session.asked.recipe, session.transfers, session.named, OPERATOR_ID)
        if pair.source == STANDARD:
            own: Blob | Source = held.enter_context(Blob.of(sys.stdin.buffer.read(session.limits.source_bytes + 1)))
        else:
            own = request.source
        found = held.enter_context(await session.renderer.pictures(own, [session.asked.recipe]))
        source = found.source
        with beneath("outputs", 0):
            [wanted] = request.outputs
            info = await session.workers.probe(source, is_complete=True, load=wanted.recipe.load)
            assert info is not None  # all bytes are there
            if pair.if_transparent and info.has_alpha:
                [wanted] = _request(session.asked, pair._replace(destination=pair.if_transparent)).outputs
            resolved = resolve(wanted, request.source, info, session.limits)
            _warn(session, wanted.recipe.encode, resolved.rendering.format)
            inputs = held.enter_context(found.of(resolved.rendering.recipe))
            render = session.renderer.rendition(source, info, resolved.rendering, inputs.further, is_alone=False)
            rendition = held.enter_context(await render)
        for warning in rendition.warnings:
            output.complain(warning.detail if pair.source == STANDARD else f"{pair.source}: {warning.detail}")
        if pair.destination == STANDARD:
            sys.stdout.buffer.write(rendition.blob.read())
            sys.stdout.buffer.flush()
        else:
            session.places.take(resolved.placement.destination.path, pair.source)
            await _store(session.transfers, resolved, rendition.blob)


def _warn(session: _Session, encode: Encode, output_format: Format) -> None:
    """Of the settings that the format does not have, once for all pictures of this format."""
    for name in ignored_fields(encode, output_format):
        field = FieldRef(("outputs", 0, "encode", name))
        warning = f"{output_format} does not have {session.asked.spelling(field)}, which is ignored"
        if warning not in session.warned:
            session.warned.add(warning)
            output.complain(warning)


async def _store(transfers: Transfers, resolved: ResolvedOutput, picture: Blob) -> None:
    size, destination = resolved.rendering.size, resolved.placement.destination
    write = Write("final", MEDIA_TYPE[resolved.rendering.format], f"render-{uuid.uuid4().hex}", 0, WRITE_TIMEOUT_S)
    await transfers.deliver(destination, picture, write)
    shown = f"  {size.width_px}x{size.height_px}" if size else ""
    output.say(f"{Path(destination.path)}{shown}")
