"""How many jobs are open, in all, by principal and by lane, without counting rows: every new job is checked by it.

Counted when the file is opened. The transactions that open or end jobs count along, and a rollback takes their counts
back. The event loop reads the figures for load shedding while a transaction may be changing them; they are exact where
it matters, inside the transaction that stores a job.
"""

import sys

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.faults import QueueFull, QuotaFull
from imgserve.jobs.lanes import Lane
from imgserve.request.job import Priority


class BacklogLimits(msgspec.Struct, frozen=True):
    """The most open jobs in all, and of this principal."""

    total: int = sys.maxsize
    principal: str = ""
    own: int = sys.maxsize


NO_LIMITS = BacklogLimits()


def limits_of(principal: str, config: Config, *, has_quota: bool) -> BacklogLimits:
    """Those that ``Backlog.check`` applies."""
    return BacklogLimits(config.max_waiting, principal, config.max_per_principal if has_quota else sys.maxsize)


class Backlog:
    """``total`` open jobs, those ``of`` each principal that has some, and of each of its lanes.

    ``adoptable``: digests of the jobs that earlier servers have not answered. The same request finds its job even while
    the queue is full.
    """

    def __init__(self) -> None:
        self.total = 0
        self.of: dict[str, int] = {}
        self._lanes: dict[Lane, int] = {}
        self.adoptable: frozenset[bytes] = frozenset()
        self._uncommitted: list[tuple[Lane, int]] = []

    def load(self, lanes: dict[Lane, int], adoptable: frozenset[bytes]) -> None:
        self.total, self.of, self._lanes, self.adoptable = 0, {}, {}, adoptable
        for lane, jobs in lanes.items():
            self._count(lane, jobs)
        self._uncommitted.clear()

    def lanes(self) -> dict[str, list[Priority]]:
        """The priorities of each principal's open jobs."""
        priorities: dict[str, list[Priority]] = {}
        for principal, priority in self._lanes:
            priorities.setdefault(principal, []).append(priority)
        return priorities

    def add(self, lane: Lane, jobs: int = 1) -> None:
        self._uncommitted.append((lane, jobs))
        self._count(lane, jobs)

    def committed(self) -> None:
        self._uncommitted.clear()

    def rolled_back(self) -> None:
        for lane, jobs in self._uncommitted:
            self._count(lane, -jobs)
        self._uncommitted.clear()

    def check(self, principal: str, config: Config, *, has_quota: bool) -> None:
        """Raises QueueFull; QuotaFull for one of several principals that has its quota of the queue."""
        if self.total >= config.max_waiting:
            raise QueueFull(f"{self.total} jobs are waiting, which is the limit", "try again later")
        own = self.of.get(principal, 0)
        if has_quota and own >= config.max_per_principal:
            detail = f"{own} jobs of this key are waiting, which is its quota of the queue"
            raise QuotaFull(detail, "try again later", max(own / self.total, 1 / len(self.of)))

    def _count(self, lane: Lane, jobs: int) -> None:
        principal, _ = lane
        self.total += jobs
        self.of[principal] = self.of.get(principal, 0) + jobs
        if self.of[principal] == 0:
            del self.of[principal]
        self._lanes[lane] = self._lanes.get(lane, 0) + jobs
        if self._lanes[lane] == 0:
            del self._lanes[lane]
