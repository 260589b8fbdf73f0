"""The database as the transactions see it, whichever engine is behind it.

Statements are written in the SQL that both engines share; ``jobs.postgres.dialect`` has the text of the others.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from imgserve.jobs.lanes import Lane, Turns
from imgserve.jobs.model import Ended
from imgserve.jobs.shown import WallOf
from imgserve.jobs.sql.backlog import NO_LIMITS, Backlog, BacklogLimits
from imgserve.jobs.sql.watches import Watches


class Cursor(Protocol):
    @property
    def get(self) -> Any:
        """The first row: its value, of several columns a tuple; None without a row."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class Reader(Protocol):
    """What reads need."""

    def execute(self, statements: str, bindings: Any = ..., /) -> Cursor: ...


class Database(Reader, Protocol):
    """The connection that writes, with the figures that its transactions change beside the tables.

    ``ends`` are the jobs' ends that the next commit stores. ``is_abandoned_changed``: there may be more or fewer
    abandoned outbox entries. ``is_outbox_filled``: there may be new webhooks. ``wall_of`` converts a stored time to the
    wall clock's.

    Written in the committer's thread, taken on the event loop between two commits.
    """

    ends: list[Ended]
    backlog: Backlog
    turns: Turns
    watches: Watches
    is_abandoned_changed: bool
    is_outbox_filled: bool
    wall_of: WallOf

    def take_ends(self) -> list[Ended]:
        """Called after each commit."""

    def executemany(self, statements: str, sequenceofbindings: Iterable[Any], /) -> Any: ...

    def query_each(self, statement: str, sequenceofbindings: Iterable[Any], /) -> list[list[tuple[Any, ...]]]:
        """The rows of a statement for each of these bindings, from another machine all in one answer."""

    def changes(self) -> int:
        """The number of rows that the last statement has changed."""

    def time(self, now: float, /) -> float:
        """``now``, or the database's own time where several servers share it."""

    def count_backlog(self, limits: BacklogLimits = NO_LIMITS, /) -> None:
        """Bring ``backlog`` up to date, where others change it too; exactly, if one of the limits is near."""

    def may_have_twin(self, digest: bytes, /) -> bool:
        """False spares a look for an unanswered job of this digest."""

    def correct_head(self, lane: Lane, hosts: str, /) -> None:
        """Jobs of this lane for these hosts were claimed: note when the next of them falls due."""

    def lock_order(self, number: int, /) -> None:
        """Keep others, until the commit, from changing the order at the destinations of this job."""

    def lock_keys(self, keys: Iterable[str], /) -> None:
        """The same, of these destinations."""

    def write_ended_late(self, number: int, token: int, now: float, /) -> None:
        """A writer has lost its claim, and its writes have ended all the same."""

    def lock_job(self, number: int, /) -> None:
        """Keep others, until the commit, from ending this job."""


def rows(db: Reader, sql: str, values: tuple[object, ...] | dict[str, object] = ()) -> list[tuple[Any, ...]]:
    """All rows of one statement. Columns have the types of the schema, which only its reader knows."""
    return db.execute(sql, values).fetchall()
