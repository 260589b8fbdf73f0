"""The same picture without a server: what the benches compare with. Started by ``jobs`` as processes of their own.

    python -m bench.direct bare PICTURE SECONDS [BOX]      libvips alone: thumbnail_buffer, jpegsave_buffer
    python -m bench.direct engine PICTURE SECONDS WORKERS  imgserve's pool and workers, nothing around them

Each warms up, says ``ready``, waits for a line on stdin, works for so many seconds and prints one JSON line.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import uvloop
from bench import processes
from bench.picture import RESULT_HEIGHT_PX, RESULT_WIDTH_PX

from imgserve.blob import Blob
from imgserve.imaging.config import Config
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering

_WARM_UP = 10
_PID = os.getpid()


class Done(NamedTuple):
    """``own_cpu_ms`` and ``children_cpu_ms`` are for one picture."""

    pictures: int
    seconds: float
    own_cpu_ms: float
    children_cpu_ms: float


def bare(picture: bytes, seconds: float, box_px: int = 0) -> Done:
    """One process, one libvips thread, no cache: decode while shrinking, crop, encode at quality 80.

    ``box_px``: fit the picture into a square of this side, instead of the crop.
    """
    import pyvips

    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)

    def render() -> None:
        if box_px:
            image = pyvips.Image.thumbnail_buffer(picture, box_px, height=box_px)
        else:
            image = pyvips.Image.thumbnail_buffer(picture, RESULT_WIDTH_PX, height=RESULT_HEIGHT_PX, crop="centre")
        image.jpegsave_buffer(Q=80)

    for _ in range(_WARM_UP):
        render()
    wait_for_go()
    before, started = processes.cpu(_PID), time.monotonic()
    pictures = 0
    while time.monotonic() < started + seconds:
        render()
        pictures += 1
    return done_since(pictures, started, before)


async def engine(picture: bytes, seconds: float, workers: int) -> Done:
    """As many pictures under way as there are workers, and one more, so that none waits for the parent."""
    pool = Pool(Config(workers=workers), Limits())
    await pool.start()
    source = Blob.of(picture)
    size = Size(RESULT_WIDTH_PX, RESULT_HEIGHT_PX)
    rendering = Rendering(Recipe((Resize(size.width_px, size.height_px),), Encode(format="jpeg")), size, "jpeg")
    pictures = 0
    ends_at = time.monotonic() + 3600

    async def render() -> None:
        nonlocal pictures
        while time.monotonic() < ends_at:
            await pool.render(source, rendering)
            pictures += 1

    for _ in range(_WARM_UP):
        await pool.render(source, rendering)
    wait_for_go()
    before, started = processes.cpu(_PID), time.monotonic()
    ends_at = started + seconds
    await asyncio.gather(*(render() for _ in range(workers + 1)))
    done = done_since(pictures, started, before)
    await pool.aclose()
    return done


def wait_for_go() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def done_since(pictures: int, started: float, before: processes.Cpu) -> Done:
    seconds = time.monotonic() - started
    used = processes.cpu(_PID).since(before)
    return Done(pictures, seconds, used.own_s * 1000 / pictures, used.children_s * 1000 / pictures)


def main(arguments: list[str]) -> None:
    picture, seconds = Path(arguments[1]).read_bytes(), float(arguments[2])
    is_bare, rest = arguments[0] == "bare", [int(argument) for argument in arguments[3:]]
    done = bare(picture, seconds, *rest) if is_bare else uvloop.run(engine(picture, seconds, rest[0]))
    sys.stdout.write(json.dumps(done) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
