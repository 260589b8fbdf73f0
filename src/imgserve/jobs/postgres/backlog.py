"""How many jobs are open, on all nodes.

Each node counts its own changes in rows of its own, so no row is fought for; the sum is read at each claim and before a
job is stored. Commits of other nodes that are under way are not seen, so a limit may be passed by their jobs.
"""

from imgserve.jobs.lanes import Lane
from imgserve.jobs.sql.backlog import Backlog
from imgserve.jobs.sql.database import Reader, rows
from imgserve.jobs.sql.queries import load

SQL = load("backlog", "postgres")


class SharedBacklog(Backlog):
    """``is_fresh``: read in this transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.is_fresh = False

    def read(self, db: Reader) -> None:
        uncommitted = self._uncommitted[:]
        lanes: dict[Lane, int] = {(row[0], row[1]): row[2] for row in rows(db, SQL["read"])}
        self.load(lanes, self.adoptable)
        for lane, jobs in uncommitted:
            self.add(lane, jobs)
        self.is_fresh = True

    def store(self, db: Reader, epoch: int) -> None:
        """Add this transaction's changes to the node's rows."""
        changes: dict[Lane, int] = {}
        for lane, jobs in self._uncommitted:
            changes[lane] = changes.get(lane, 0) + jobs
        for (principal, priority), jobs in sorted(changes.items()):
            if jobs:
                db.execute(SQL["store"], (epoch, principal, priority, jobs))
