"""CPU time of many outputs of one source, beside that of the largest alone; method in README.md beside this file.

    python -m bench.outputs [--rounds N] [--jobs N]

Ten JPEGs of quality 80, 1600 to 64 pixels wide, of one JPEG of 4000 x 3000 pixels, through imgserve's pool and its
workers, as an attempt at a job asks for them. Each round measures the two in turns; its ratio is one figure.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

import uvloop
from bench import processes
from bench.figures import spread, verdict
from bench.picture import photo

from imgserve.blob import Blob
from imgserve.imaging.config import Config
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering

SOURCE = Size(4000, 3000)
WIDTHS_PX = (1600, 1200, 1024, 800, 640, 480, 320, 240, 160, 64)
QUALITY = 80
TARGET = 2.5
_PID = os.getpid()


def rendering(width_px: int) -> Rendering:
    size = Size(width_px, width_px * SOURCE.height_px // SOURCE.width_px)
    return Rendering(Recipe((Resize(size.width_px, size.height_px),), Encode("jpeg", QUALITY)), size, "jpeg")


async def measure(rounds: int, jobs: int) -> int:
    pool = Pool(Config(), Limits())
    await pool.start()
    with Blob.of(photo(SOURCE.width_px, SOURCE.height_px)) as source:

        async def rendered(width_px: int, batch: int = 0) -> None:
            (await pool.render(source, rendering(width_px), batch=batch)).close()

        async def largest() -> None:
            await rendered(max(WIDTHS_PX))

        async def together() -> None:
            batch = pool.new_batch()
            await asyncio.gather(*(rendered(width_px, batch) for width_px in WIDTHS_PX))

        async def apart() -> None:
            for width_px in WIDTHS_PX:
                await rendered(width_px)

        await together()
        spent = []
        for number in range(1, rounds + 1):
            spent.append([await _cpu_ms(job, jobs) for job in (largest, together, apart)])
            alone_ms, together_ms, apart_ms = spent[-1]
            print(
                f"round {number}: CPU ms alone {alone_ms:.0f}, ten {together_ms:.0f}, apart {apart_ms:.0f}", flush=True
            )
    await pool.aclose()
    ratios = [together_ms / alone_ms for alone_ms, together_ms, _ in spent]
    print(
        f"ten together, ratio to the largest alone {spread(ratios)}, target <= {TARGET}: "
        f"{verdict(median(ratios) <= TARGET)}"
    )
    print(f"ten apart, ratio to the largest alone    {spread([apart / alone for alone, _, apart in spent])}")
    return 0


async def _cpu_ms(job: Callable[[], Awaitable[None]], jobs: int) -> float:
    before = processes.cpu(_PID)
    for _ in range(jobs):
        await job()
    used = processes.cpu(_PID).since(before)
    return (used.own_s + used.children_s) * 1000 / jobs


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.outputs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=5, help="of each kind in a round")
    options = parser.parse_args(arguments)
    return uvloop.run(measure(options.rounds, options.jobs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
