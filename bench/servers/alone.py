"""A cell without a server: libvips by hand, or imgserve's pool. Started by ``measure`` as processes of their own.

    python -m bench.servers.alone bare CELL SECONDS WORKERS FILE...
    python -m bench.servers.alone pool CELL SECONDS WORKERS FILE...

Each warms up, says ``ready``, waits for a line on stdin, works for so many seconds, prints one JSON line, and stays
until stdin is closed, so that its memory can be read. ``judge`` calls ``result`` for a picture to look at.
"""

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyvips
import uvloop
from bench import processes
from bench.direct import Done, done_since, wait_for_go
from bench.servers.cells import CELLS, Cell

from imgserve.blob import Blob
from imgserve.imaging.config import Config
from imgserve.imaging.pool import Pool
from imgserve.request.encode import DEFAULT_QUALITY, Defaults, Encode
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering, resolve

_WARM_UP = 3
_PID = os.getpid()


def result(cell: Cell, source: bytes) -> bytes:
    """By libvips' own functions, with its defaults but for quality and effort."""
    pages = "n=-1" if cell.frames > 1 else ""
    crop = "centre" if cell.is_cut else "none"
    image = pyvips.Image.thumbnail_buffer(source, cell.width_px, height=cell.height_px, crop=crop, option_string=pages)
    if cell.format == "jpeg":
        return bytes(image.jpegsave_buffer(Q=cell.quality))
    if cell.format == "png":
        return bytes(image.pngsave_buffer(compression=cell.effort))
    if cell.format == "webp":
        return bytes(image.webpsave_buffer(Q=cell.quality, effort=cell.effort))
    if cell.format == "gif":
        return bytes(image.gifsave_buffer(effort=cell.effort))
    return bytes(image.heifsave_buffer(Q=cell.quality, compression="av1", effort=cell.effort))


def bare(cell: Cell, sources: Sequence[bytes], seconds: float) -> Done:
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)
    turns = itertools.cycle(sources)
    for _ in range(_WARM_UP):
        result(cell, next(turns))
    wait_for_go()
    before, started = processes.cpu(_PID), time.monotonic()
    pictures = 0
    while time.monotonic() < started + seconds:
        result(cell, next(turns))
        pictures += 1
    return done_since(pictures, started, before)


async def pool(cell: Cell, sources: Sequence[bytes], seconds: float, workers: int) -> Done:
    """As many pictures under way as there are workers, and one more, so that none waits for the parent."""
    engine = Pool(Config(workers=workers), Limits())
    await engine.start()
    pictures = 0
    ends_at = 0.0
    turns = itertools.cycle([(blob, await _rendering(engine, cell, blob)) for blob in map(Blob.of, sources)])

    async def once() -> None:
        source, rendering = next(turns)
        (await engine.render(source, rendering, is_svg=cell.source_format == "svg")).close()

    async def render() -> None:
        nonlocal pictures
        while time.monotonic() < ends_at:
            await once()
            pictures += 1

    for _ in range(_WARM_UP):
        await once()
    wait_for_go()
    before, started = processes.cpu(_PID), time.monotonic()
    ends_at = started + seconds
    await asyncio.gather(*(render() for _ in range(workers + 1)))
    done = done_since(pictures, started, before)
    _say(done)
    sys.stdin.read()
    await engine.aclose()
    return done


async def _rendering(engine: Pool, cell: Cell, source: Blob) -> Rendering:
    resize = Resize(cell.width_px, cell.height_px, fit="cover" if cell.is_cut else "inside")
    recipe = Recipe((resize,), Encode(cell.format, cell.quality))
    info = await engine.probe(source, is_complete=True)
    assert info is not None
    return resolve(recipe, info, Limits(), Defaults(DEFAULT_QUALITY))


def _say(done: Done) -> None:
    sys.stdout.write(json.dumps(done) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> None:
    kind, name, seconds, workers, *paths = arguments
    cell = next(cell for cell in CELLS if cell.name == name)
    sources = [Path(path).read_bytes() for path in paths]
    if kind == "bare":
        _say(bare(cell, sources, float(seconds)))
        sys.stdin.read()
    else:
        uvloop.run(pool(cell, sources, float(seconds), int(workers)))


if __name__ == "__main__":
    main(sys.argv[1:])
