"""A measured cluster on one machine: an API node, runners and PostgreSQL, and the CPU of each. Called by ``scale``."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from bench import processes
from bench.cluster import Case, Observed
from bench.database import Database
from bench.load import Load
from bench.peers import Peers
from tests.support.daemon import LOOPBACK, Daemon
from tests.support.postgres import Postgres

# One source host may have a quarter of the slots of intake.
_INTAKE = {"max_intake": 400, "max_transfers_per_host": 100}
_READ_EVERY_S = 0.1


class Used(NamedTuple):
    """CPU seconds of each part, and what the database counted, so far; or for one job, in milliseconds."""

    api: float
    api_workers: float
    runners: float
    workers: float
    database: float
    bench: float
    commits: float
    flushes: float
    flushing: float

    def per_job_ms(self, before: "Used", jobs: int) -> "Used":
        return Used(*((now - then) * 1000 / jobs for now, then in zip(self, before, strict=True)))


class Cluster:
    """``with`` starts an API node and runners, each with a worker and so many attempts at once, on a new database."""

    def __init__(self, directory: Path, postgres: Postgres, runners: int, attempts: int) -> None:
        self.url = postgres.url(postgres.database())
        self._database = Database(self.url, 1, directory)
        common = (*LOOPBACK, "--queue", self.url, "--role")
        slots = {"max_attempts_at_once": attempts}
        self.api = Daemon(directory / "api", *common, "api", switches=_INTAKE)
        self._runners = [
            Daemon(directory / f"runner-{number}", *common, "runner", switches=slots) for number in range(runners)
        ]
        self._meters: list[processes.Meter] = []

    def __enter__(self) -> Self:
        for server in (self.api, *self._runners):
            server.start()
        self._meters = [processes.Meter(server.pid) for server in (self.api, *self._runners)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (self.api, *self._runners):
            if server.is_running:
                server.stop()

    async def observe(self, peers: Peers, case: Case) -> tuple[Observed, Used]:
        """What the case comes to, after a few jobs that nobody counts; and CPU milliseconds of each part for a job."""
        peers.source_s = case.source_s
        load, under_way = Load(self.api.url, self.api.pid, peers), case.under_way * len(self._runners)
        jobs = case.jobs * len(self._runners)
        await load.run(under_way, under_way, has_placeholder=True)
        before, reading = self._used(), asyncio.create_task(self._keep_reading())
        measured = await load.run(jobs, under_way, has_placeholder=True)
        reading.cancel()
        used = self._used().per_job_ms(before, jobs)
        results = list(zip(measured.arrivals_s, measured.results_s, strict=True))
        return Observed.of(results, under_way), used._replace(bench=measured.harness_ms)

    async def _keep_reading(self) -> None:
        """A worker that ends takes along what it used since it was read."""
        while True:
            await asyncio.sleep(_READ_EVERY_S)
            for meter in self._meters:
                meter.read()

    def _used(self) -> Used:
        with self._database.connect() as connection:
            row = connection.execute(
                "SELECT xact_commit, wal_sync, wal_sync_time FROM pg_stat_wal, pg_stat_database"
                " WHERE datname = current_database()"
            ).fetchone()
        assert row is not None
        commits, flushes, flushing_ms = (float(str(value)) for value in row)
        api, *runners = [meter.read() for meter in self._meters]
        return Used(
            api=api.own_s,
            api_workers=api.children_s,
            runners=sum(cpu.own_s for cpu in runners),
            workers=sum(cpu.children_s for cpu in runners),
            database=self._database.cpu_s(),
            bench=0.0,
            commits=commits / 1000,
            flushes=flushes / 1000,
            flushing=flushing_ms / 1000,
        )
