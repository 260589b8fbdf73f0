"""How many pictures a second by ``POST /v1/render``, against libvips alone in the same minute.

    python -m bench.render [--rounds N] [--clients N] [--workers N] [--seconds S]

Each round measures two bare processes (``thumbnail_buffer``, with malloc's thresholds set, so that they keep the pages
that they free), then clients that upload the same picture again and again. The ratio is made within a round, the median
is the figure. The clients share the machine: their CPU time is part of what is measured. *Ratio of CPU* is bare
milliseconds over those of server, workers and clients: the ratio if every CPU were always busy.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import quote

import msgspec
import uvloop
from bench import client, processes
from bench.direct import Done
from bench.figures import percentile, spread, verdict
from bench.jobs import BARE_PROCESSES, direct
from bench.picture import RESULT_HEIGHT_PX, RESULT_WIDTH_PX, photo
from tests.support.daemon import Daemon

TARGET = 0.9
KEEP_BYTES = str(64 * 1024 * 1024)
MALLOC = {"MALLOC_TRIM_THRESHOLD_": KEEP_BYTES, "MALLOC_MMAP_THRESHOLD_": KEEP_BYTES}
_RECIPE = {
    "operations": [{"operation": "resize", "width": RESULT_WIDTH_PX, "height": RESULT_HEIGHT_PX}],
    "encode": {"format": "jpeg", "quality": 80},
}
TARGET_PATH = "/v1/render?recipe=" + quote(msgspec.json.encode(_RECIPE))


class Measured(NamedTuple):
    """Times of CPU are milliseconds for one picture."""

    per_second: float
    server_ms: float
    workers_ms: float
    clients_ms: float
    seconds: list[float]

    @property
    def cpu_ms(self) -> float:
        return self.server_ms + self.workers_ms + self.clients_ms


async def run(server: Daemon, picture: bytes, clients: int, seconds: float) -> Measured:
    connections = [await client.connect(server.url) for _ in range(clients)]
    taken: list[float] = []

    async def ask(connection: client.Connection, ends_at: float) -> None:
        while (started := time.monotonic()) < ends_at:
            reply = await connection.ask(TARGET_PATH, picture, "Content-Type: image/jpeg\r\n")
            if reply.status != 200:
                raise RuntimeError(f"{reply.status} {reply.body[:300]!r}")
            taken.append(time.monotonic() - started)

    await asyncio.gather(*(ask(connection, time.monotonic() + 0.5) for connection in connections))
    taken.clear()
    own, started = time.process_time(), time.monotonic()
    asking = asyncio.gather(*(ask(connection, started + seconds) for connection in connections))
    used = await processes.cpu_during(asking, server.pid)
    passed = time.monotonic() - started
    clients_s = time.process_time() - own
    for connection in connections:
        connection.close()
    count = len(taken)
    server_ms, workers_ms, clients_ms = (part * 1000 / count for part in (used.own_s, used.children_s, clients_s))
    return Measured(count / passed, server_ms, workers_ms, clients_ms, taken)


async def measure(options: argparse.Namespace) -> int:
    picture = photo()
    ratios: list[float] = []
    cpu_ratios: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "picture.jpg"
        path.write_bytes(picture)
        with Daemon(Path(directory) / "data", workers=options.workers) as server:
            for number in range(1, options.rounds + 1):
                arguments = ("bare", str(path), str(options.seconds))
                bare = await asyncio.to_thread(direct, BARE_PROCESSES, *arguments, environment={**os.environ, **MALLOC})
                measured = await run(server, picture, options.clients, options.seconds)
                bare_per_second = sum(done.pictures / done.seconds for done in bare)
                ratios.append(measured.per_second / bare_per_second)
                cpu_ratios.append(median(done.own_cpu_ms for done in bare) / measured.cpu_ms)
                print(f"round {number}: {_told(bare_per_second, bare, measured)}; ratio {ratios[-1]:.2f}", flush=True)
    print(f"ratio to bare {spread(ratios)}, target >= {TARGET:.2f}: {verdict(median(ratios) >= TARGET)}")
    print(f"ratio of CPU  {spread(cpu_ratios)}")
    return 0


def _told(bare_per_second: float, bare: Sequence[Done], measured: Measured) -> str:
    bare_ms = median(done.own_cpu_ms for done in bare)
    return (
        f"bare {bare_per_second:.0f}/s, {bare_ms:.2f} ms CPU; render {measured.per_second:.0f}/s, CPU of server"
        f" {measured.server_ms:.2f} ms, of workers {measured.workers_ms:.2f}, of clients {measured.clients_ms:.2f};"
        f" median {median(measured.seconds) * 1000:.0f} ms, p95 {percentile(measured.seconds, 0.95) * 1000:.0f}"
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.render")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=8.0)
    return uvloop.run(measure(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
