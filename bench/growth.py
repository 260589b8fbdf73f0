"""What grows with the size of a task: CPU for a picture by clients, for a job by the queue, by megapixels, by outputs.

    python -m bench.growth [clients] [queue] [megapixels] [outputs] [--rounds N] [--seconds S]
                           [--most-clients N] [--most-jobs N] [--most-megapixels N] [--data-dir DIR]

Each prints a table with the median of the rounds and the ratio to the first or the usual size. Method in README.md.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec
import uvloop
from bench import processes
from bench.backlog import Filling, fill_file
from bench.figures import percentile, verdict
from bench.outputs import rendering as output_of
from bench.peers import Peers
from bench.picture import RESULT_HEIGHT_PX, RESULT_WIDTH_PX, photo
from bench.servers import contestants, measure
from bench.servers.cells import CELLS
from bench.servers.contestants import Setting
from bench.servers.figures import Load
from tests.support.daemon import LOOPBACK, Daemon
from tests.support.queues import Maker, moved, output

from imgserve.blob import Blob
from imgserve.imaging.config import Config
from imgserve.imaging.pool import Pool
from imgserve.jobs.model import NewJob
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.request.destination import Destination
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from imgserve.request.source import Source

CLIENTS, USUAL_CLIENTS = (1, 4, 16, 64, 256, 1000), 16
JOBS = (1_000, 10_000, 100_000, 1_000_000)
MEGAPIXELS = (0.1, 0.5, 2.0, 8.0, 24.0, 49.0)  # the limit is 50
OUTPUTS = (1, 2, 5, 10, 20)
TARGET = 1.10
_DRAINED, _WARM_UP_JOBS = 600, 100
_REFUSED_PAUSE_S = 1.0
_JOBS_TIMEOUT_S = 600.0
_PID = os.getpid()
THUMB = next(cell for cell in CELLS if cell.name == "thumb")


async def clients(options: argparse.Namespace, directory: Path) -> None:
    """GETs of pictures that are not cached; a client that is refused comes again after a second."""
    peers = Peers(b"")
    await peers.start()
    origin_host = f"127.0.0.1:{peers.source_port}"
    numbers = [count for count in CLIENTS if count <= options.most_clients]
    cpu_ms: dict[int, list[float]] = {count: [] for count in numbers}
    print("| clients | CPU ms for a picture | to 16 clients | pictures/s | p50, p99 ms | refused |", flush=True)
    print("|---|---|---|---|---|---|")
    with contestants.daemon(directory, origin_host) as daemon:
        start = contestants.CONTESTANTS["imgserve GET"]
        with contestants.running(start, Setting(directory, origin_host, daemon), "imgserve GET") as server:
            origin = measure.Origin(peers, THUMB, [photo()])
            loads: dict[int, Load] = {}
            for number in range(options.rounds):
                for count in numbers if number % 2 == 0 else reversed(numbers):
                    loads[count] = load = await measure.loaded(
                        server, origin, number, count, options.seconds, refused_pause_s=_REFUSED_PAUSE_S
                    )
                    assert load.cpu_ms is not None
                    cpu_ms[count].append(load.cpu_ms)
    peers.close()
    for count, load in loads.items():
        p50, p99 = (percentile(load.latencies_ms, share) for share in (0.5, 0.99))
        row = (ratio(cpu_ms, count, USUAL_CLIENTS), f"{load.per_second:.0f}", f"{p50:.0f}, {p99:.0f}", load.failures)
        print(f"| {count:,} | {median(cpu_ms[count]):.2f} | " + " | ".join(map(str, row)) + " |")
    judge(cpu_ms, max(numbers), USUAL_CLIENTS)


def ratio(values: Mapping[int, Sequence[float]], key: int, base: int) -> str:
    """Within a round, the median of the rounds."""
    if base not in values:
        return "-"
    return f"{median(one / other for one, other in zip(values[key], values[base], strict=True)):.2f}"


def judge(values: Mapping[int, Sequence[float]], key: int, base: int) -> None:
    if key != base and base in values:
        found = ratio(values, key, base)
        print(f"{key:,} to {base:,}: {found}, target <= {TARGET:.2f}: {verdict(float(found) <= TARGET)}", flush=True)


async def queue(options: argparse.Namespace, directory: Path) -> None:
    """A server starts on a queue file with so many due jobs, and takes the first ones of them to their end."""
    sizes = [count for count in JOBS if count <= options.most_jobs]
    cpu_ms: dict[int, list[float]] = {count: [] for count in sizes}
    print("| queued jobs | CPU ms for a job | to the first | jobs/s |", flush=True)
    print("|---|---|---|---|")
    rates: dict[int, float] = {}
    for _ in range(options.rounds):
        for count in sizes:
            used_ms, rates[count] = await drained(directory, count)
            cpu_ms[count].append(used_ms)
    for count in sizes:
        print(f"| {count:,} | {median(cpu_ms[count]):.2f} | {ratio(cpu_ms, count, sizes[0])} | {rates[count]:.0f} |")
    judge(cpu_ms, sizes[-1], sizes[0])


async def drained(
    directory: Path, count: int, *, first: int = _WARM_UP_JOBS, jobs: int = _DRAINED
) -> tuple[float, float]:
    """CPU milliseconds for a job, and jobs a second, of ``jobs`` behind the ``first`` ones."""
    data_dir = Path(tempfile.mkdtemp(dir=directory))
    peers = Peers(photo())
    await peers.start()
    arrived = asyncio.Semaphore(0)
    peers.on_final = lambda _: arrived.release()
    key = f"http://127.0.0.1:{peers.sink_port}/~"
    fill_file(data_dir / FILE_NAME, Filling(count, is_queued=True), queued_job(peers, key), key)
    server = Daemon(data_dir, *LOOPBACK, workers=os.cpu_count() or 1)
    await asyncio.to_thread(server.start)
    try:
        async with asyncio.timeout(_JOBS_TIMEOUT_S):
            await finished(arrived, first)
            started = time.monotonic()
            used = await processes.cpu_during(finished(arrived, jobs), server.pid)
            seconds = time.monotonic() - started
    finally:
        await asyncio.to_thread(server.kill)
        peers.close()
    return (used.own_s + used.children_s) * 1000 / jobs, jobs / seconds


async def finished(arrived: asyncio.Semaphore, count: int) -> None:
    for _ in range(count):
        await arrived.acquire()


def queued_job(peers: Peers, key: str) -> NewJob:
    place = Destination("put", key, key, "127.0.0.1", peers.sink_port, "/~", key)
    size = Size(RESULT_WIDTH_PX, RESULT_HEIGHT_PX)
    recipe = Recipe((Resize(size.width_px, size.height_px),), Encode("jpeg", 80))
    usual = moved(output(), place)
    job = Maker()(msgspec.structs.replace(usual, rendering=Rendering(recipe, size, "jpeg")))
    url = f"http://127.0.0.1:{peers.source_port}/source.jpg"
    return msgspec.structs.replace(job, source=Source(url, "http", "127.0.0.1", peers.source_port, "/source.jpg"))


async def megapixels(options: argparse.Namespace, _: Path) -> None:
    """One picture of each size into 512 x 512, JPEG, by the pool alone."""
    print("| megapixels | CPU ms for a picture | for a megapixel |", flush=True)
    print("|---|---|---|")
    pool = Pool(Config(), Limits())
    await pool.start()
    for wanted in MEGAPIXELS:
        if wanted <= options.most_megapixels:
            height_px = round((wanted * 1e6 * 3 / 4) ** 0.5)
            source_size = Size(round(wanted * 1e6 / height_px), height_px)
            scale = min(1.0, 512 / source_size.width_px)
            size = Size(round(source_size.width_px * scale), round(source_size.height_px * scale))
            recipe = Recipe((Resize(size.width_px, size.height_px),), Encode("jpeg", 80))
            with Blob.of(photo(source_size.width_px, source_size.height_px)) as source:
                rendering = Rendering(recipe, size, "jpeg")
                used_ms = await cpu_ms_of(options, lambda: rendered(pool, source, rendering))  # noqa: B023  # awaited
            print(f"| {wanted:g} | {used_ms:.1f} | {used_ms / wanted:.1f} |", flush=True)
    await pool.aclose()


async def outputs(options: argparse.Namespace, _: Path) -> None:
    """JPEGs of one JPEG of 12 megapixels in a batch, as an attempt at a job asks for them."""
    print("| outputs | CPU ms for all | for each | to one |", flush=True)
    print("|---|---|---|---|")
    pool = Pool(Config(), Limits())
    await pool.start()
    first_ms = 0.0
    with Blob.of(photo(4000, 3000)) as source:
        for count in OUTPUTS:

            async def batch(count: int = count) -> None:
                number = pool.new_batch()
                widths = [1600 - 1500 * index // max(count, 2) for index in range(count)]
                await asyncio.gather(*(rendered(pool, source, output_of(width), number) for width in widths))

            used_ms = await cpu_ms_of(options, batch)
            first_ms = first_ms or used_ms
            print(f"| {count} | {used_ms:.0f} | {used_ms / count:.1f} | {used_ms / first_ms:.2f} |", flush=True)
    await pool.aclose()


async def rendered(pool: Pool, source: Blob, rendering: Rendering, batch: int = 0) -> None:
    (await pool.render(source, rendering, batch=batch)).close()


async def cpu_ms_of(options: argparse.Namespace, work: Callable[[], Awaitable[None]]) -> float:
    """The median of the rounds, each of which repeats the work for some seconds."""
    await work()
    spent = []
    for _ in range(options.rounds):
        before, count, ends_at = processes.cpu(_PID), 0, time.monotonic() + options.seconds
        while time.monotonic() < ends_at or not count:
            await work()
            count += 1
        used = processes.cpu(_PID).since(before)
        spent.append((used.own_s + used.children_s) * 1000 / count)
    return median(spent)


KINDS: Mapping[str, Callable[[argparse.Namespace, Path], Awaitable[None]]] = {
    "clients": clients,
    "queue": queue,
    "megapixels": megapixels,
    "outputs": outputs,
}


async def carry_out(options: argparse.Namespace) -> None:
    for name in options.kinds or KINDS:
        with tempfile.TemporaryDirectory(prefix="imgserve-bench-", dir=options.data_dir) as directory:
            print(f"\n{name}", flush=True)
            await KINDS[name](options, Path(directory))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("bench.growth", description="CPU by clients, queued jobs, megapixels and outputs.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--most-clients", type=int, default=CLIENTS[-1])
    parser.add_argument("--most-jobs", type=int, default=JOBS[-1])
    parser.add_argument("--most-megapixels", type=float, default=MEGAPIXELS[-1])
    parser.add_argument("--data-dir", help="on the disk to measure (default: a temporary directory)")
    options = parser.parse_args(arguments)
    for name in options.kinds:
        if name not in KINDS:
            parser.error(f"expected one of {', '.join(KINDS)}, got {name}")
    uvloop.run(carry_out(options))


if __name__ == "__main__":
    main(sys.argv[1:])
