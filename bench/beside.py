"""How long jobs take beside a flood of renders, and renders beside a flood of jobs: 95th percentiles, with and without.

    python -m bench.beside [--count N] [--clients N] [--under-way N] [--workers N]

Two clients post jobs (or ask for renders), one after the other each, while ``--clients`` clients ask for renders (or
``--under-way`` jobs are under way) without a pause. A job counts until its picture has arrived.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import uvloop
from bench import client
from bench.figures import percentile
from bench.load import Load
from bench.peers import Peers
from bench.picture import photo
from bench.render import TARGET_PATH
from tests.support.daemon import LOOPBACK, Daemon

CALM_CLIENTS = 2
_FLOOD_OF_JOBS = 1_000_000


async def renders(url: str, picture: bytes, clients: int, count: int) -> list[float]:
    """The seconds of each."""
    taken: list[float] = []

    async def ask(connection: client.Connection) -> None:
        while len(taken) < count:
            started = time.monotonic()
            reply = await connection.ask(TARGET_PATH, picture, "Content-Type: image/jpeg\r\n")
            if reply.status != 200:
                raise RuntimeError(f"{reply.status} {reply.body[:300]!r}")
            taken.append(time.monotonic() - started)

    connections = [await client.connect(url) for _ in range(clients)]
    try:
        await asyncio.gather(*map(ask, connections))
    finally:
        for connection in connections:
            connection.close()
    return taken


@contextlib.asynccontextmanager
async def beside(flood: asyncio.Task[object]) -> AsyncIterator[None]:
    await asyncio.sleep(1.0)
    try:
        yield
    finally:
        assert not flood.done(), "the flood has ended before"
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)


async def measure(options: argparse.Namespace) -> int:
    picture = photo()
    peers = Peers(picture)
    await peers.start()
    with (
        tempfile.TemporaryDirectory() as directory,
        Daemon(Path(directory) / "data", *LOOPBACK, workers=options.workers) as server,
    ):
        calm, load = Load(server.url, server.pid, peers), Load(server.url, server.pid, peers)
        jobs_alone = await calm.run(options.count, CALM_CLIENTS, has_placeholder=True)
        renders_alone = await renders(server.url, picture, CALM_CLIENTS, options.count)
        async with beside(asyncio.create_task(renders(server.url, picture, options.clients, sys.maxsize))):
            jobs = await calm.run(options.count, CALM_CLIENTS, has_placeholder=True)
        told("jobs", jobs_alone.results_s, jobs.results_s, f"{options.clients} clients that render")
        flood = load.run(_FLOOD_OF_JOBS, options.under_way, has_placeholder=True)
        async with beside(asyncio.create_task(flood)):
            beside_jobs = await renders(server.url, picture, CALM_CLIENTS, options.count)
        told("renders", renders_alone, beside_jobs, f"{options.under_way} jobs under way")
    peers.close()
    return 0


def told(what: str, alone: Sequence[float], flooded: Sequence[float], flood: str) -> None:
    p95s = [percentile(seconds, 0.95) * 1000 for seconds in (alone, flooded)]
    print(f"{what}: p95 {p95s[0]:.0f} ms alone, {p95s[1]:.0f} ms beside {flood}", flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.beside")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--under-way", type=int, default=32)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    return uvloop.run(measure(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
