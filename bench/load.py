"""A measured load of jobs on a running server. Called by ``jobs``, ``compare`` and ``accept``'s memory bench.

Closed loop: so many jobs are under way, and the next is posted when the picture of one has arrived at the sink.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench import client, processes
from bench.peers import Peers

_RESULT_TIMEOUT_S = 120.0
_PREFIXES = itertools.count()


class Measured(NamedTuple):
    """CPU is milliseconds a job; latencies are seconds from the post, one entry a job, in the order of results.

    ``arrivals_s``: when each result came, since the load began.
    """

    jobs: int
    seconds: float
    server_ms: float
    workers_ms: float
    harness_ms: float
    fetches_per_job: float
    accepts_s: list[float]
    results_s: list[float]
    arrivals_s: list[float]

    @property
    def per_second(self) -> float:
        return self.jobs / self.seconds


class JobRefused(Exception):
    """The server's own words, for a bench that expects every job to be taken."""


class Load:
    """Posts jobs to ``url``; lives in the loop of ``origins``, whose ``on_final`` it takes for each run.

    ``keys``: API keys, which take turns job by job.
    """

    def __init__(self, url: str, pid: int, peers: Peers, keys: Sequence[str] = ("",)) -> None:
        self._url = url
        self._pid = pid
        self._peers = peers
        self._keys = itertools.cycle(keys)
        self._arrivals: dict[str, asyncio.Future[float]] = {}

    async def run(self, jobs: int, under_way: int, *, has_placeholder: bool, pause_s: float = 0.0) -> Measured:
        """``pause_s`` lies between a picture and the next post, for the server to settle.

        Raises JobRefused, TimeoutError, HungUp.
        """
        self._peers.on_final = self._arrived
        connections = [await client.connect(self._url) for _ in range(under_way)]
        paths = (f"/{next(_PREFIXES)}/{number}.jpg" for number in range(jobs))
        accepts_s: list[float] = []
        results_s: list[float] = []
        arrivals_s: list[float] = []
        gets = self._peers.gets
        harness, started = time.process_time(), time.monotonic()
        posting = asyncio.gather(
            *(
                self._keep_posting(
                    connection,
                    paths,
                    accepts_s,
                    results_s,
                    arrivals_s,
                    has_placeholder=has_placeholder,
                    pause_s=pause_s,
                )
                for connection in connections
            )
        )
        used = await processes.cpu_during(posting, self._pid)
        seconds = time.monotonic() - started
        harness_s = time.process_time() - harness
        for connection in connections:
            connection.close()
        per_job_ms = 1000 / jobs
        return Measured(
            jobs=jobs,
            seconds=seconds,
            server_ms=used.own_s * per_job_ms,
            workers_ms=used.children_s * per_job_ms,
            harness_ms=harness_s * per_job_ms,
            fetches_per_job=(self._peers.gets - gets) / jobs,
            accepts_s=accepts_s,
            results_s=results_s,
            arrivals_s=[arrived_at - started for arrived_at in arrivals_s],
        )

    async def _keep_posting(
        self,
        connection: client.Connection,
        paths: Iterator[str],
        accepts_s: list[float],
        results_s: list[float],
        arrivals_s: list[float],
        *,
        has_placeholder: bool,
        pause_s: float,
    ) -> None:
        for path in paths:
            arrival = asyncio.get_running_loop().create_future()
            self._arrivals[path] = arrival
            job = client.job(self._peers.source_port, self._peers.sink_port, path, has_placeholder=has_placeholder)
            posted_at = time.monotonic()
            reply = await connection.post(job, next(self._keys))
            accepts_s.append(time.monotonic() - posted_at)
            if not reply.is_accepted:
                raise JobRefused(f"{reply.status} {reply.body.decode()}")
            arrived_at = await asyncio.wait_for(arrival, _RESULT_TIMEOUT_S)
            results_s.append(arrived_at - posted_at)
            arrivals_s.append(arrived_at)
            del self._arrivals[path]
            if pause_s:
                await asyncio.sleep(pause_s)

    def _arrived(self, path: str) -> None:
        arrival = self._arrivals.get(path)
        if arrival is not None and not arrival.done():
            arrival.set_result(time.monotonic())
