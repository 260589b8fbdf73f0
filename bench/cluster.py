"""The model of a cluster: API nodes, runners and a database as stations that a job passes through.

``Times`` are measured on one node; ``Layout`` says what there is; ``predicted`` simulates a load.
The steps are those of ``engine.intake``, ``engine.runner`` and the queue: what one job needs of each station, the group
commit of each process, the database's own group commit, the waking of idle runners.
"""

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from bench.figures import percentile
from bench.simulation import Batches, Process, Processors, run

MAX_BATCH = 256  # jobs.sql.committer
WARM_UP = 0.25  # of the jobs; they fill the queues and are not counted
SIGNAL_SPACING_S = 0.01  # jobs.postgres.signals: what a node has to say within this time is one NOTIFY
VARIATION = 0.25  # each time is uniformly so much shorter or longer: no two jobs stay in step
EMPTY_CLAIM = "empty claim"

Result = tuple[float, float]  # when a final picture came, and how long after its post


class Times(msgspec.Struct, frozen=True):
    """Milliseconds. CPU of each program for one job, of the database for one transaction, and pauses without CPU.

    ``commit_cpu_ms`` is for each commit, however many transactions share it; ``round_trips`` for each transaction;
    ``listener_us`` for each process that listens and each NOTIFY. ``harness_cpu_ms``: source, destination and client of
    the bench, which share its machine.
    """

    api_cpu_ms: float
    intake_worker_cpu_ms: float
    runner_cpu_ms: float
    worker_cpu_ms: float
    harness_cpu_ms: float
    transaction_cpu_ms: float
    commit_cpu_ms: float
    empty_claim_cpu_ms: float
    round_trips: float
    round_trip_ms: float
    flush_ms: float
    notify_cpu_ms: float
    listener_us: float


class Layout(msgspec.Struct, frozen=True):
    """``is_one_machine``: all programs and the bench share ``cores``. Otherwise each node and the database has a
    machine, of ``cores`` and ``database_cores``, ``network_ms`` there and back away from each other.
    ``wakes``: the idle runners that a new job wakes; 0 means all.
    """

    runners: int
    api_nodes: int = 1
    cores: int = 2
    database_cores: int = 8
    workers: int = 2
    slots: int = 32
    is_one_machine: bool = False
    wakes: int = 0
    network_ms: float = 0.0


class Demand(msgspec.Struct, frozen=True):
    """``under_way`` jobs in a closed loop, or ``per_second`` at random moments (Poisson) where that is above 0.

    ``source_s``: how long a source takes to answer, to each of intake's probe and the attempt.
    """

    jobs: int
    under_way: int = 0
    per_second: float = 0.0
    source_s: float = 0.0


class Case(NamedTuple):
    """A load: ``under_way`` jobs for each runner in a closed loop, of sources that take so long to answer."""

    title: str
    under_way: int
    source_s: float
    jobs: int

    def demand(self, runners: int) -> Demand:
        return Demand(self.jobs * runners, self.under_way * runners, source_s=self.source_s)


class Observed(NamedTuple):
    """Of the jobs in the middle of a load: not while its queues fill, nor while no more are posted.

    Time to result is from the post to the arrival of the final picture.
    """

    per_second: float
    median_s: float
    p95_s: float

    @classmethod
    def of(cls, results: Sequence[Result], under_way: int) -> "Observed":
        middle = sorted(results)[int(len(results) * WARM_UP) : len(results) - under_way]
        times_s = [took_s for _, took_s in middle]
        per_second = (len(middle) - 1) / (middle[-1][0] - middle[0][0])
        return cls(per_second, percentile(times_s, 0.5), percentile(times_s, 0.95))


class Prediction(NamedTuple):
    observed: Observed
    database_busy: float
    empty_claims_per_job: float
    commits_per_job: float


def predicted(times: Times, layout: Layout, demand: Demand, seed: int = 1) -> Prediction:
    return run(_Cluster(times, layout, demand, random.Random(seed)).serve())


class _Database:
    """Transactions of one connection run one after the other; all connections share cores and flushes of the log."""

    def __init__(self, times: Times, processors: Processors, cores: int, network_ms: float) -> None:
        self._times = times
        self._cores = cores
        self._round_trip_s = (times.round_trip_ms + network_ms) / 1000
        self._processors = processors
        self._flushes = Batches(self._flush, most=1_000_000)
        self.commits = 0
        self._used_s = 0.0

    async def commit(self, kinds: Mapping[str, int]) -> None:
        times = self._times
        empty = kinds.get(EMPTY_CLAIM, 0)
        cpu_ms = (sum(kinds.values()) - empty) * times.transaction_cpu_ms + empty * times.empty_claim_cpu_ms
        await asyncio.sleep(sum(kinds.values()) * times.round_trips * self._round_trip_s)
        await self._work((cpu_ms + times.commit_cpu_ms) / 1000)
        self.commits += 1
        if kinds.keys() - {EMPTY_CLAIM}:
            await self._flushes.join("flush")

    async def notify(self, listeners: int) -> None:
        """The processes that serve the listeners wake side by side."""
        await self._work(self._times.notify_cpu_ms / 1000)
        each_s = listeners * self._times.listener_us / 1e6 / self._cores
        await asyncio.gather(*(self._work(each_s) for _ in range(self._cores)))

    def busy(self, now_s: float) -> float:
        """The part of its cores that it has used."""
        return self._used_s / now_s / self._cores

    async def _work(self, cpu_s: float) -> None:
        self._used_s += cpu_s
        await self._processors.work(cpu_s)

    async def _flush(self, _: Mapping[str, int]) -> None:
        await asyncio.sleep(self._times.flush_ms / 1000)


class _Node:
    """A server process with its group commit, and its workers."""

    def __init__(self, database: _Database, processors: Processors, workers: int) -> None:
        self._database = database
        self.process = Process(processors)
        self.workers = Process(processors, workers)
        self._commits = Batches(database.commit, MAX_BATCH)
        self._told_at = -SIGNAL_SPACING_S
        self.is_telling = False

    def next_signal_s(self) -> float:
        """How long the next NOTIFY waits."""
        now_s = asyncio.get_running_loop().time()
        wait_s = max(self._told_at + SIGNAL_SPACING_S - now_s, 0.0)
        self._told_at = now_s + wait_s
        return wait_s

    async def store(self, kind: str) -> None:
        await self._commits.join(kind)


class _Runner(_Node):
    def __init__(self, database: _Database, processors: Processors, workers: int, slots: int) -> None:
        super().__init__(database, processors, workers)
        self.room = slots
        self.event = asyncio.Event()
        self.waits_for_room = False


class _Cluster:
    def __init__(self, times: Times, layout: Layout, demand: Demand, chance: random.Random) -> None:
        self._times, self._layout, self._demand, self._chance = times, layout, demand, chance
        shared = Processors(layout.cores)

        def machine(cores: int) -> Processors:
            return shared if layout.is_one_machine else Processors(cores)

        cores = layout.cores if layout.is_one_machine else layout.database_cores
        self._database = _Database(times, machine(cores), cores, layout.network_ms)
        self._harness = Process(shared) if layout.is_one_machine else None
        self._api = itertools.cycle(_Node(self._database, machine(layout.cores), 1) for _ in range(layout.api_nodes))
        self._runners = [
            _Runner(self._database, machine(layout.cores), layout.workers, layout.slots) for _ in range(layout.runners)
        ]
        self._idle: dict[_Runner, None] = {}
        self._due: deque[asyncio.Future[None]] = deque()
        self._results: list[Result] = []
        self._empty_claims = 0
        self._background: set[asyncio.Task[None]] = set()

    async def serve(self) -> Prediction:
        for runner in self._runners:
            self._start(self._claim(runner))
        demand = self._demand
        if demand.per_second:
            posts = []
            for _ in range(demand.jobs):
                await asyncio.sleep(self._chance.expovariate(demand.per_second))
                posts.append(asyncio.create_task(self._job()))
            await asyncio.gather(*posts)
        else:
            left = iter(range(demand.jobs))
            await asyncio.gather(*(self._post(left) for _ in range(demand.under_way)))
        for task in self._background:
            task.cancel()
        return self._prediction(asyncio.get_running_loop().time())

    def _prediction(self, now_s: float) -> Prediction:
        jobs = self._demand.jobs
        return Prediction(
            Observed.of(self._results, self._demand.under_way),
            database_busy=self._database.busy(now_s),
            empty_claims_per_job=self._empty_claims / jobs,
            commits_per_job=self._database.commits / jobs,
        )

    async def _post(self, left: Iterator[int]) -> None:
        for _ in left:
            await self._job()

    async def _job(self) -> None:
        """Intake: probe, enqueue, placeholder, activate. Then a runner takes the job."""
        times, loop = self._times, asyncio.get_running_loop()
        posted_at, node = loop.time(), next(self._api)
        await self._share_with_bench()
        await node.process.work(self._varied_s(times.api_cpu_ms / 2))
        await asyncio.sleep(self._demand.source_s)
        await node.workers.work(self._varied_s(times.intake_worker_cpu_ms))
        await node.store("enqueue")
        await node.store("acquire")
        await node.process.work(self._varied_s(times.api_cpu_ms / 2))
        await node.store("activate")
        ended = loop.create_future()
        self._due.append(ended)
        if not node.is_telling:
            self._start(self._wake(node))
        await ended
        self._results.append((loop.time(), loop.time() - posted_at))

    async def _wake(self, node: _Node) -> None:
        node.is_telling = True
        await asyncio.sleep(node.next_signal_s())
        node.is_telling = False
        await self._database.notify(self._layout.runners + self._layout.api_nodes)
        for runner in list(self._idle)[: self._layout.wakes or None]:
            del self._idle[runner]
            runner.event.set()

    async def _claim(self, runner: _Runner) -> None:
        """As ``Runner._claim_forever``: as many jobs as there is room for, then wait for room or for a job."""
        while True:
            runner.event.clear()
            if not runner.room:
                runner.waits_for_room = True
            elif self._due:
                claimed = [self._due.popleft() for _ in range(min(runner.room, len(self._due)))]
                runner.room -= len(claimed)
                await runner.store("claim")
                for ended in claimed:
                    self._start(self._attempt(runner, ended))
                continue
            else:
                self._empty_claims += 1
                await runner.store(EMPTY_CLAIM)
                if self._due:
                    continue
                self._idle[runner] = None
            await runner.event.wait()

    async def _attempt(self, runner: _Runner, ended: asyncio.Future[None]) -> None:
        times = self._times
        await runner.process.work(self._varied_s(times.runner_cpu_ms / 2))
        await asyncio.sleep(self._demand.source_s)
        await runner.workers.work(self._varied_s(times.worker_cpu_ms))
        await runner.store("acquire")
        await runner.process.work(self._varied_s(times.runner_cpu_ms / 2))
        await self._share_with_bench()
        ended.set_result(None)
        await runner.store("settle")
        runner.room += 1
        if runner.waits_for_room:
            runner.waits_for_room = False
            runner.event.set()

    async def _share_with_bench(self) -> None:
        if self._harness is not None:
            await self._harness.work(self._varied_s(self._times.harness_cpu_ms / 2))

    def _varied_s(self, milliseconds: float) -> float:
        return milliseconds / 1000 * self._chance.uniform(1 - VARIATION, 1 + VARIATION)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
