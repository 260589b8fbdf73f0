"""How many jobs are open, on all nodes.

Each node counts its own changes in rows of its own, so no row is fought for; the sum is read at each claim and before a
job is stored. Commits of other nodes that are under way are not seen. So where a limit is near, nodes store jobs one
after the other, and none is passed.
"""

from imgserve.jobs.lanes import Lane
from imgserve.jobs.sql.backlog import Backlog, BacklogLimits
from imgserve.jobs.sql.database import Reader, rows
from imgserve.jobs.sql.queries import load

SQL = load("backlog", "postgres")


# So many jobs may come in commits that are under way at the same time: 64 in each of eight nodes.
NEAR = 512


class SharedBacklog(Backlog):
    def __init__(self) -> None:
        super().__init__()
        self._is_fresh = self._is_exact = False

    def begin(self) -> None:
        """A new transaction has read nothing."""
        self._is_fresh = self._is_exact = False

    def refresh(self, db: Reader, limits: BacklogLimits) -> None:
        """Read what is committed; with a limit nearby nothing else is, until this transaction's end."""
        if not self._is_fresh:
            self._read(db)
        own = self.of.get(limits.principal, 0)
        if not self._is_exact and (self.total + NEAR >= limits.total or own + NEAR >= limits.own):
            db.execute(SQL["lock"])
            self._read(db)
            self._is_exact = True

    def _read(self, db: Reader) -> None:
        uncommitted = self._uncommitted[:]
        lanes: dict[Lane, int] = {(row[0], row[1]): row[2] for row in rows(db, SQL["read"])}
        self.load(lanes, self.adoptable)
        for lane, jobs in uncommitted:
            self.add(lane, jobs)
        self._is_fresh = True

    def store(self, db: Reader, epoch: int) -> None:
        """Add this transaction's changes to the node's rows."""
        changes: dict[Lane, int] = {}
        for lane, jobs in self._uncommitted:
            changes[lane] = changes.get(lane, 0) + jobs
        for (principal, priority), jobs in sorted(changes.items()):
            if jobs:
                db.execute(SQL["store"], (epoch, principal, priority, jobs))
