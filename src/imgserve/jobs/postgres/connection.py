"""The connection that writes the queue's tables, and those that read them. Statements come as ``dialect`` knows them.

While a transaction runs, a connection is in psycopg's pipeline mode: a statement whose result is not fetched makes no
round trip.
"""

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.types.numeric import FloatBinaryDumper, Int8BinaryDumper

from imgserve.jobs.lanes import Lane, Turns
from imgserve.jobs.model import Ended
from imgserve.jobs.postgres import strays
from imgserve.jobs.postgres.backlog import SharedBacklog
from imgserve.jobs.postgres.dialect import translated
from imgserve.jobs.shown import WallOf
from imgserve.jobs.sql.backlog import NO_LIMITS, BacklogLimits
from imgserve.jobs.sql.database import Database, Reader
from imgserve.jobs.sql.queries import load
from imgserve.jobs.sql.watches import Watches

LOCKS = load("locks", "postgres")
# All statements of the queue stay prepared; psycopg keeps a hundred else.
PREPARED_MAX = 400


class Result:
    """``jobs.sql.database.Cursor``."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: "psycopg.Cursor[tuple[Any, ...]]") -> None:
        self._cursor = cursor

    @property
    def get(self) -> Any:
        row = self._cursor.fetchone()
        return row if row is None or len(row) > 1 else row[0]

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()


class ReadConnection(Reader):
    def __init__(self, raw: "psycopg.Connection[tuple[Any, ...]]", *, is_pooled: bool = False) -> None:
        """``is_pooled``: through PgBouncer, which may give each transaction another session."""
        self._is_pooled = is_pooled
        self.attach(raw)

    def attach(self, raw: "psycopg.Connection[tuple[Any, ...]]") -> None:
        """Go on over another connection."""
        self.raw = raw
        raw.adapters.register_dumper(int, Int8BinaryDumper)  # one type for all, so one plan for each statement
        raw.adapters.register_dumper(float, FloatBinaryDumper)
        raw.prepare_threshold = None if self._is_pooled else 0
        raw.prepared_max = PREPARED_MAX
        self._cursor = psycopg.RawCursor(raw)

    def changes(self) -> int:
        if self._cursor.statusmessage is None:
            self.synchronise()
        return self._cursor.rowcount

    def synchronise(self) -> None:
        """Wait for the statements that were sent. Raises their first error."""
        with self.raw.pipeline() as pipeline:
            pipeline.sync()

    def execute(self, statements: str, bindings: Any = (), /) -> Result:
        text, names = translated(statements)
        values = [bindings[name] for name in names] if names else bindings
        self._cursor = psycopg.RawCursor(self.raw)
        self._cursor.execute(text, [int(value) if isinstance(value, bool) else value for value in values])
        return Result(self._cursor)


class Connection(ReadConnection, Database):
    """``writes`` counts the statements that may have changed something."""

    def __init__(self, raw: "psycopg.Connection[tuple[Any, ...]]", *, is_pooled: bool = False) -> None:
        super().__init__(raw, is_pooled=is_pooled)
        self.ends: list[Ended] = []
        self.backlog: SharedBacklog = SharedBacklog()
        self.turns: Turns = Turns()
        self.watches: Watches = Watches()
        self.is_abandoned_changed: bool = True
        self.is_outbox_filled: bool = False
        self.wall_of: WallOf = float
        self.writes = 0
        self._now: float | None = None
        self._begun: Result | None = None

    def begin(self, epoch: int, *, is_clock_ours: bool) -> None:
        """The first statement of a transaction. ``is_clock_ours``: the database's clock is the queue's."""
        begun = self.execute(LOCKS["begin"], (str(epoch),))
        self._now, self._begun = None, begun if is_clock_ours else None
        self.backlog.begin()

    def execute(self, statements: str, bindings: Any = (), /) -> Result:
        self.writes += not statements.startswith("SELECT")
        return super().execute(statements, bindings)

    def executemany(self, statements: str, sequenceofbindings: Iterable[Any], /) -> None:
        for bindings in sequenceofbindings:
            self.execute(statements, bindings)

    def query_each(self, statement: str, sequenceofbindings: Iterable[Any], /) -> list[list[tuple[Any, ...]]]:
        results = [
            self.execute(statement, bindings) for bindings in sequenceofbindings
        ]  # all sent before the first wait
        return [result.fetchall() for result in results]

    def time(self, now: float, /) -> float:
        if self._begun is None:
            return now
        if self._now is None:
            self._now = float(self._begun.fetchone()[0])
        return self._now

    def count_backlog(self, limits: BacklogLimits = NO_LIMITS, /) -> None:
        self.backlog.refresh(self, limits)

    def may_have_twin(self, digest: bytes, /) -> bool:
        """Another node may have taken a dead one over a moment ago, and the news of it be under way."""
        return True

    def correct_head(self, lane: Lane, hosts: str, /) -> None:
        """Heads are read from the index of due jobs itself."""

    def write_ended_late(self, number: int, token: int, now: float, /) -> None:
        strays.ended(self, number, token, now)

    def lock_order(self, number: int, /) -> None:
        self.execute(LOCKS["order"], (number,))

    def lock_keys(self, keys: Iterable[str], /) -> None:
        self.execute(LOCKS["keys"], (sorted(set(keys)),))

    def lock_job(self, number: int, /) -> None:
        self.execute(LOCKS["job"], (number,))

    def take_ends(self) -> list[Ended]:
        self.backlog.committed()
        ends, self.ends[:] = self.ends[:], []
        return ends

    def rolled_back(self) -> None:
        self.watches.rolled_back()
        self.ends.clear()
        self.backlog.rolled_back()
