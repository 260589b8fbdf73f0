"""How many jobs are open, in all and by principal, without counting rows: every job that comes in is checked by it.

Counted when the file is opened. The transactions that open or end jobs count along, and a rollback takes their counts
back. The event loop reads the figures for load shedding while a transaction may be changing them; they are exact where
it matters, inside the transaction that stores a job.
"""

from imgserve.jobs.config import Config
from imgserve.jobs.protocol import QueueFull, QuotaFull


class Backlog:
    """``total`` open jobs, and those ``of`` each principal that has some.

    ``adoptable``: digests of the jobs that earlier servers have not answered. The same request finds its job even while
    the queue is full.
    """

    def __init__(self) -> None:
        self.total = 0
        self.of: dict[str, int] = {}
        self.adoptable: frozenset[bytes] = frozenset()
        self._uncommitted: list[tuple[str, int]] = []

    def load(self, of: dict[str, int], adoptable: frozenset[bytes]) -> None:
        self.of, self.total, self.adoptable = of, sum(of.values()), adoptable
        self._uncommitted.clear()

    def add(self, principal: str, jobs: int = 1) -> None:
        self._uncommitted.append((principal, jobs))
        self._count(principal, jobs)

    def committed(self) -> None:
        self._uncommitted.clear()

    def rolled_back(self) -> None:
        for principal, jobs in self._uncommitted:
            self._count(principal, -jobs)
        self._uncommitted.clear()

    def check(self, principal: str, config: Config, *, has_quota: bool) -> None:
        """Raises QueueFull; QuotaFull for one of several principals that has its quota of the queue."""
        if self.total >= config.max_waiting:
            raise QueueFull(f"{self.total} jobs are waiting, which is the limit", "try again later")
        own = self.of.get(principal, 0)
        if has_quota and own >= config.max_per_principal:
            detail = f"{own} jobs of this key are waiting, which is its quota of the queue"
            raise QuotaFull(detail, "try again later", max(own / self.total, 1 / len(self.of)))

    def _count(self, principal: str, jobs: int) -> None:
        self.total += jobs
        self.of[principal] = self.of.get(principal, 0) + jobs
        if self.of[principal] == 0:
            del self.of[principal]
