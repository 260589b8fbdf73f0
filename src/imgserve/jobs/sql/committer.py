"""Group commit: one thread runs transactions from the event loop, many to a commit.

A transaction is a function of a connection. Its caller goes on only after the commit has reached the disk. One that
fails does not fail the others: if it has changed something before, the commit is undone and each is tried by itself.
"""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec

from imgserve.errors import ImgserveError
from imgserve.jobs.faults import QueueFault, StorageFailing
from imgserve.jobs.sql.database import Database
from imgserve.jobs.sql.gathering import Gathering
from imgserve.jobs.sql.loopthread import LoopThread
from imgserve.telemetry import logs

T = TypeVar("T")
D = TypeVar("D", bound=Database)
Announce = Callable[[object], None]

LATER_S = 0.05
CLOSED = StorageFailing("the queue is closed, as the server stops")


class Away(Exception):
    """The database cannot be reached. ``failure`` is the last cause.

    ``recover`` waits, in the committer's thread, until it can be, and returns the outcomes of the batch. None: it was
    undone; ``is_undone``: that is known now.
    """

    def __init__(self, failure: StorageFailing, recover: Callable[[], list[object] | None], *, is_undone: bool) -> None:
        super().__init__(failure.detail)
        self.failure, self.recover, self.is_undone = failure, recover, is_undone


class Store(Protocol[D]):
    """An engine's database. All but ``failure`` is called in the committer's thread.

    ``most_at_once``: the most transactions of one commit. ``apart_s``: how long after the beginning of a commit the
    next one may begin, while many jobs are under way.
    """

    most_at_once: int
    apart_s: float

    def open(self, prepare: Callable[[D], None]) -> D:
        """Connect, and run ``prepare``. Raises StorageFailing."""

    def commit(self, batch: list[Callable[[D], object]], *, is_synced: bool) -> list[object]:
        """Run these transactions in one commit; the value of each, or its ImgserveError. Raises StorageFailing, Away,
        and any other exception when the commit was undone and each transaction is to be tried by itself.
        """

    def failure(self, error: Exception) -> StorageFailing | None:
        """An error of ``commit`` as a fault of the storage, if it is one."""

    def close(self) -> None: ...


class Committer(Generic[D]):
    """The only user of the connection that writes. ``on_commit`` is called on the event loop after each commit.

    One commit is under way at a time. Transactions that come meanwhile go into the next one, in their order; while many
    jobs are under way, it waits for more of them (``gathering``).
    """

    def __init__(self, store: Store[D], on_commit: Callable[[D], None]) -> None:
        self._store = store
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._thread = LoopThread(self._loop, "queue")
        self._pending: list[_Entry[D]] = []
        self._apart: list[_Entry[D]] = []
        self._is_busy = False
        self._is_wanted = False  # whether one of the pending waits for no other
        self._gathering = Gathering(store.apart_s, self._send)
        self._timer: asyncio.TimerHandle | None = None  # for the pending that do
        self._away: Away | None = None
        self._idle = asyncio.Event()
        self._is_closed = False
        self._connection: D | None = None
        self._failure: StorageFailing | None = None

    def share(self, under_way: Callable[[], int]) -> None:
        """``under_way``: the number of jobs whose changes are to share commits."""
        self._gathering.under_way = under_way
        self._look_again()

    @property
    def failure(self) -> StorageFailing | None:
        """That of the last commit, or the reason why there is none."""
        return self._failure if self._away is None else self._away.failure

    async def open(self, prepare: Callable[[D], None]) -> None:
        """Open the database, and run ``prepare`` on it. Raises StorageFailing."""
        self._connection = await self._thread.call(lambda: self._store.open(prepare))

    async def run(
        self,
        transaction: Callable[[D], T],
        announce: Callable[[T], None] | None = None,
        *,
        survives_power_loss: bool = True,
        patience_s: float = 0.0,
    ) -> T:
        """The transaction's value, once it is stored. Raises what it raised, or StorageFailing.

        ``patience_s``: how long it may wait for a commit that another one needs, as most of a commit's cost is the same
        for one and for many.

        Every commit survives the death of this process. One that need not survive the machine's is not synced by
        itself: it is lost together with all that came after it, or not at all, since the WAL is read in order.
        ``announce`` gets the value even when the caller was cancelled meanwhile: the change is stored all the same.
        """
        future: asyncio.Future[object] = self._loop.create_future()
        self._add(_Entry(transaction, future, announce, survives_power_loss), patience_s)  # type: ignore[arg-type]
        return await future  # type: ignore[return-value]

    def run_later(
        self, transaction: Callable[[D], object], done: Callable[[asyncio.Future[object]], object] | None = None
    ) -> None:
        """Store a change with the next commit, at the latest after ``LATER_S``. No caller waits for it; ``done`` is
        called when it is stored or has failed.
        """
        future: asyncio.Future[object] = self._loop.create_future()
        future.add_done_callback(_log_failure)
        if done is not None:
            future.add_done_callback(done)
        self._add(_Entry(transaction, future, None, False), LATER_S)

    async def aclose(self) -> None:
        """Finish what is pending, then close the file."""
        self.share(lambda: 0)
        self._start()
        while self._is_busy:
            self._idle.clear()
            await self._idle.wait()
            self._start()
        self._is_closed = True
        await self._thread.call(self._store.close)  # behind an ``open`` that is not done, too
        self._thread.stop()

    def _add(self, entry: "_Entry[D]", patience_s: float) -> None:
        if self._is_closed or self._away is not None:
            entry.resolve(self._fault())
            return
        self._pending.append(entry)
        if self._gathering.is_waiting:
            self._look_again()
        elif patience_s <= 0.0:
            self._start()
        elif self._timer is None or self._timer.when() > self._loop.time() + patience_s:
            self._stop_timer()
            self._timer = self._loop.call_later(patience_s, self._waited)

    def _look_again(self) -> None:
        """Begin a commit that has waited long enough."""
        if self._gathering.is_waiting and not self._gathering.waits(len(self._pending)):
            self._loop.call_soon(self._send, context=contextvars.Context())

    def _waited(self) -> None:
        self._timer = None
        self._start()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        """Commit what is pending, now or behind the commit that is under way."""
        self._is_wanted = bool(self._pending)
        if self._is_wanted and not self._is_busy:
            self._is_busy = True
            # At the end of this iteration of the loop, so that all its transactions share a commit. No job's context.
            self._loop.call_soon(self._send, context=contextvars.Context())

    def _send(self) -> None:
        """Hand the next batch to the thread, wait for more of it, or become idle."""
        most = self._store.most_at_once
        if self._apart:
            batch = [self._apart.pop(0)]
        elif self._is_wanted and self._gathering.waits(len(self._pending)):
            return
        elif self._is_wanted:
            self._gathering.began()
            batch, self._pending = self._pending[:most], self._pending[most:]
            self._is_wanted = bool(self._pending)
            if not self._pending:
                self._stop_timer()
        else:
            self._is_busy = False
            self._idle.set()
            return
        work = [entry.transaction for entry in batch]
        is_synced = any(entry.survives_power_loss for entry in batch)
        self._thread.send(
            lambda: self._store.commit(work, is_synced=is_synced), lambda outcome: self._stored(batch, outcome)
        )

    def _stored(self, batch: "list[_Entry[D]]", result: "list[object] | Exception") -> None:
        """Resolve the batch's futures; or, when a bug has undone a batch of several, try them one by one."""
        if isinstance(result, Away):
            self._lost(batch, result)
            return
        self._failure = self._store.failure(result) if isinstance(result, Exception) else None
        if not isinstance(result, Exception):
            outcomes = result
            assert self._connection is not None
            self._on_commit(self._connection)
        elif self._failure is not None:
            outcomes = [self._fault() for _ in batch]
        elif len(batch) > 1:
            self._apart, outcomes, batch = batch, [], []
        else:
            logs.bug("queue_fault", error=result)
            outcomes = [QueueFault("a fault inside the queue undid this change")]
        for entry, outcome in zip(batch, outcomes, strict=True):
            entry.resolve(outcome)
        self._send()

    def _fault(self) -> StorageFailing:
        failure = CLOSED if self._is_closed else self.failure
        assert failure is not None
        return failure.again()

    def _lost(self, batch: "list[_Entry[D]]", away: Away) -> None:
        """Fail all but a batch that may be stored, now and until the database is back."""
        self._away = away
        failed = [*(batch if away.is_undone else ()), *self._apart, *self._pending]
        self._apart, self._pending, self._is_wanted = [], [], False
        for entry in failed:
            entry.resolve(self._fault())
        undecided = [] if away.is_undone else batch
        self._thread.send(away.recover, lambda result: self._returned(undecided, result))

    def _returned(self, undecided: "list[_Entry[D]]", result: "list[object] | Exception | None") -> None:
        """Resolve a batch that was under way when the database was lost."""
        outcomes = result if isinstance(result, list) else [self._fault() for _ in undecided]
        if isinstance(result, list):
            assert self._connection is not None
            self._on_commit(self._connection)
        if not isinstance(result, Exception):  # else the queue is being closed
            self._away = self._failure = None
        for entry, outcome in zip(undecided, outcomes, strict=True):
            entry.resolve(outcome)
        self._send()


class HalfDone(Exception):
    """A transaction failed after it had changed something, so the commit is undone."""


def _log_failure(future: asyncio.Future[object]) -> None:
    error = future.exception()
    if isinstance(error, ImgserveError):
        in_full = error.in_full if isinstance(error, StorageFailing) else error
        logs.event("storage_failing", level=logs.WARNING, detail=in_full.detail)


class _Entry(msgspec.Struct, Generic[D], frozen=True):
    transaction: Callable[[D], object]
    future: asyncio.Future[object]
    announce: Announce | None
    survives_power_loss: bool

    def resolve(self, outcome: object) -> None:
        if isinstance(outcome, ImgserveError):
            if not self.future.done():
                self.future.set_exception(outcome)
            return
        if self.announce is not None:
            self.announce(outcome)
        if not self.future.done():
            self.future.set_result(outcome)
