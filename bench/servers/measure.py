"""One load of one server: so many clients that ask without a pause, for so many seconds. Called by ``__main__``.

The sources are served and the results of jobs received by ``Peers`` in this process. Each request has a URL of its own,
so that no server can answer out of a cache.
"""

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import msgspec
from bench import client, processes
from bench.client import HungUp, Reply
from bench.direct import Done
from bench.jobs import BARE_PROCESSES
from bench.peers import Peers
from bench.render import MALLOC
from bench.servers import asked
from bench.servers.cells import CONTENT_TYPES, Cell
from bench.servers.contestants import Server
from bench.servers.figures import Load

ALONE = {"libvips by hand": "bare", "imgserve's pool": "pool"}
RESULT_TIMEOUT_S = 120.0
_WARM_UP_S = 0.5
_SAMPLE_EVERY_S = 0.5
_MIB_A_MB = 1e6 / 2**20
_AFTER_HANGUP_S = 0.1
_NUMBERS = itertools.count()
_NONE = Reply(0, b"")


class Origin:
    """The sources of a cell on ``peers``, and the results of its jobs."""

    def __init__(self, peers: Peers, cell: Cell, sources: Sequence[bytes]) -> None:
        self.peers = peers
        self.cell = cell
        self.count = len(sources)
        self._arrivals: dict[str, asyncio.Future[None]] = {}
        for index, source in enumerate(sources):
            peers.add(f"{cell.name}-{index}", source, CONTENT_TYPES[cell.source_format])
        peers.on_final = self._arrived

    def url(self, index: int) -> str:
        """Of this source, never used before."""
        name = f"{self.cell.name}-{index % self.count}/{next(_NUMBERS)}.{self.cell.source_extension}"
        return f"http://127.0.0.1:{self.peers.source_port}/{name}"

    async def picture(self, server: Server, connection: client.Connection, index: int) -> Reply:
        """The answer, of a job the result that has arrived at its destination. Raises HungUp, TimeoutError."""
        if not server.is_queue:
            request = server.ask(self.cell, self.url(index))
            if request.body:
                return await connection.ask(request.target, request.body, "Content-Type: application/json\r\n")
            return await connection.get(request.target)
        path = f"/{next(_NUMBERS)}.{self.cell.extension}"
        request = asked.job(self.cell, self.url(index), f"http://127.0.0.1:{self.peers.sink_port}{path}")
        arrival = self._arrivals[path] = asyncio.get_running_loop().create_future()
        try:
            reply = await connection.ask(request.target, request.body, "Content-Type: application/json\r\n")
            if reply.status >= 300:
                return reply
            await asyncio.wait_for(arrival, RESULT_TIMEOUT_S)
        finally:
            del self._arrivals[path]
        bodies = self.peers.bodies
        return Reply(200, bodies.pop(path) if bodies is not None else b"")

    def _arrived(self, path: str) -> None:
        arrival = self._arrivals.get(path)
        if arrival is not None and not arrival.done():
            arrival.set_result(None)


async def loaded(
    server: Server, origin: Origin, number: int, clients: int, seconds: float, *, refused_pause_s: float = 0.0
) -> Load:
    """The pictures that are under way when the time is over are waited for, and count.

    ``refused_pause_s``: how long a client waits before it asks again after a refusal.
    """
    latencies: list[float] = []
    failures = 0

    async def ask(index: int, ends_at: float) -> None:
        nonlocal failures
        connection: client.Connection | None = None
        for turn in itertools.count(index):
            started = time.monotonic()
            if started >= ends_at:
                break
            try:
                connection = connection or await client.connect(server.url)
                reply = await origin.picture(server, connection, turn)
            except (HungUp, OSError):  # the server crashed, or has not answered for minutes
                connection, reply = None, _NONE
                await asyncio.sleep(_AFTER_HANGUP_S)
            if reply.status == 200:
                latencies.append((time.monotonic() - started) * 1000)
            else:
                failures += 1
                await asyncio.sleep(refused_pause_s)
        if connection is not None:
            connection.close()

    async def crowd(lasting_s: float) -> None:
        ends_at = time.monotonic() + lasting_s
        await asyncio.gather(*(ask(index, ends_at) for index in range(clients)))

    await crowd(_WARM_UP_S)
    latencies.clear()
    failures = 0
    started = time.monotonic()
    async with memory(server.pid) as peaks:
        used = await processes.cpu_during(crowd(seconds), server.pid or os.getpid())
    passed, count = time.monotonic() - started, len(latencies)
    cpu_ms = (used.own_s + used.children_s) * 1000 / count if server.pid and count else None
    rounded = [round(taken, 1) for taken in latencies]
    return Load(number, clients, count, passed, cpu_ms, max(peaks, default=None), rounded, failures)


@contextlib.asynccontextmanager
async def memory(*pids: int) -> AsyncIterator[list[float]]:
    """MiB of the trees together, read twice a second while the block runs, and at its end if it was shorter."""
    samples: list[float] = []

    async def sample() -> None:
        while True:
            total = await asyncio.to_thread(tree_mib, *pids)
            if total is not None:
                samples.append(total)
            await asyncio.sleep(_SAMPLE_EVERY_S)

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
        if not samples and (total := await asyncio.to_thread(tree_mib, *pids)) is not None:
            samples.append(total)


def tree_mib(*pids: int) -> float | None:
    """None: a process is not seen, or one of its tree has ended while it was read."""
    if not all(pids):
        return None
    try:
        return sum(processes.tree_pss_mb(pid) for pid in pids) * _MIB_A_MB
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


async def alone(kind: str, cell: Cell, paths: Sequence[Path], number: int, clients: int, seconds: float) -> Load:
    """A cell without a server, as if it were one with ``clients``."""
    count = BARE_PROCESSES if kind == "bare" else 1
    command = [sys.executable, "-m", "bench.servers.alone", kind, cell.name, str(seconds), str(os.cpu_count() or 1)]
    with contextlib.ExitStack() as running:
        started = [running.enter_context(_process([*command, *map(str, paths)], kind)) for _ in range(count)]
        for process in started:
            await asyncio.to_thread(_line, process)
        async with memory(*(process.pid for process in started)) as peaks:
            for process in started:
                _go(process)
            lines = [await asyncio.to_thread(_line, process) for process in started]
            peaks.append(tree_mib(*(process.pid for process in started)) or 0.0)
    done = [msgspec.json.decode(line, type=Done) for line in lines]
    pictures = sum(one.pictures for one in done)
    cpu_ms = sum((one.own_cpu_ms + one.children_cpu_ms) * one.pictures for one in done) / pictures
    # Each has pictures of its own to the end of its time, so that rates add up.
    seconds = pictures / sum(one.pictures / one.seconds for one in done)
    return Load(number, clients, pictures, seconds, cpu_ms, max(peaks))


@contextlib.contextmanager
def _process(command: list[str], kind: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **(MALLOC if kind == "bare" else {})}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _go(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} has ended")
    return line
