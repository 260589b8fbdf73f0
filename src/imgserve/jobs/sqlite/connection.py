"""The connection that writes the queue's file, with the figures that its transactions change beside the tables."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apsw

from imgserve.jobs.lanes import Lane, Turns
from imgserve.jobs.model import Ended
from imgserve.jobs.shown import WallOf
from imgserve.jobs.sql.backlog import NO_LIMITS, Backlog, BacklogLimits
from imgserve.jobs.sql.database import Database
from imgserve.jobs.sql.watches import Watches
from imgserve.jobs.sqlite import heads

SYNCED = "PRAGMA synchronous=FULL"  # in WAL mode: fsync at each commit
UNSYNCED = "PRAGMA synchronous=NORMAL"  # in WAL mode: fsync at checkpoints only
# APSW keeps the statements of so many executions, 512 at most: those of a batch of jobs must all be among them.
EXECUTIONS_KEPT = 512


class Connection(apsw.Connection, Database):
    """``jobs.sql.database.Database``. One transaction runs at a time, so nothing is to be locked."""

    def __init__(self, name: str) -> None:
        super().__init__(name, statementcachesize=EXECUTIONS_KEPT)
        self.ends: list[Ended] = []
        self.backlog: Backlog = Backlog()
        self.turns: Turns = Turns()
        self.watches: Watches = Watches()
        self.is_abandoned_changed: bool = True
        self.is_outbox_filled: bool = False
        self.wall_of: WallOf = float
        self.set_rollback_hook(self._rolled_back)

    def take_ends(self) -> list[Ended]:
        """Called after each commit."""
        self.backlog.committed()
        ends, self.ends[:] = self.ends[:], []
        return ends

    def query_each(self, statement: str, sequenceofbindings: Iterable[Any], /) -> list[list[tuple[Any, ...]]]:
        return [self.execute(statement, bindings).fetchall() for bindings in sequenceofbindings]

    def time(self, now: float, /) -> float:
        return now

    def count_backlog(self, limits: BacklogLimits = NO_LIMITS, /) -> None: ...

    def may_have_twin(self, digest: bytes, /) -> bool:
        return digest in self.backlog.adoptable

    def correct_head(self, lane: Lane, hosts: str, /) -> None:
        heads.correct(self, lane, hosts)

    def lock_order(self, number: int, /) -> None: ...

    def lock_keys(self, keys: Iterable[str], /) -> None: ...

    def write_ended_late(self, number: int, token: int, now: float, /) -> None:
        """A killed server's bytes arrive during ``quiet_s``, and nothing else writes then."""

    def lock_job(self, number: int, /) -> None: ...

    def _rolled_back(self) -> None:
        self.watches.rolled_back()
        self.ends.clear()
        self.backlog.rolled_back()


def connect(path: Path) -> Connection:
    """A connection whose commits survive power loss. The file is its owner's alone: it holds URLs with passwords."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    connection = Connection(str(path))
    connection.set_busy_timeout(2000)
    # A new file gives the room of deleted jobs back (``prune``); one with tables stays as it is.
    for pragma in (
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        "foreign_keys=ON",
        "journal_size_limit=16777216",
        "temp_store=MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(SYNCED)
    # Else SQLite, as this wheel builds it, plans a statement anew for each value that is bound: a third of our time.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    return connection


@contextlib.contextmanager
def transaction(db: apsw.Connection) -> Iterator[None]:
    """All or nothing. SQLite itself undoes one that meets a full disk; apsw's own ``with`` then fails at its end."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
