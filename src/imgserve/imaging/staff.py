"""The staff of the pool: which worker a request gets, and how many of them there are. For ``pool.py``.

There are two limits, one for renders and one, of a single worker, for probes and placeholders, so that long renders
block no reply. While both jobs and clients wait for workers, each of the two gets half of them; a single worker serves
them in turn. Of either the principal with the fewest workers is next. With several principals an idle worker for
renders also serves probes and placeholders. The processes come from the stock (``stock.py``), which never gives a
process that has read one principal's bytes to another principal.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Literal

import msgspec

from imgserve.imaging.assignment import Assignment
from imgserve.imaging.config import Config
from imgserve.imaging.faults import NoWorker, WorkerDied, stopping
from imgserve.imaging.process import CannotStartWorker, Child
from imgserve.imaging.stock import Owner, Sizes, Stock
from imgserve.limiter import Key, Limiter

# For a job, or for a client that waits for its picture.
Work = Literal["job", "request"]
_PATIENCE_S: dict[Work, float | None] = {"job": None, "request": 5.0}
_RANKED = 2  # by work, then by principal

RENDER, _INTAKE, _DRAWING = "render", "intake", "drawing"
_KEPT_FORKED = 16  # forked workers share most of their memory, so eight principals may keep one of each role


class Staffing(msgspec.Struct, frozen=True):
    """A role's idle and busy workers, its missing ones, and the requests that wait for one."""

    role: str
    idle: int
    busy: int
    missing: int
    waiting: int


class Staff:
    """``is_shared``: whether there are several principals, so that none may have all the workers for renders."""

    def __init__(self, config: Config, is_shared: Callable[[], bool]) -> None:
        self._config = config
        self._is_shared = is_shared
        self._workers = {_INTAKE: Limiter(1, _RANKED), RENDER: Limiter(config.workers, _RANKED)}
        self.stock = Stock(config, self._sizes)

    def staffing(self) -> tuple[Staffing, ...]:
        """The staffing of each role; the last entry counts the workers that stand ready."""
        lacking, ready = self.stock.lacking, self._sizes().fresh
        missing = min(lacking, ready)
        staffings = [Staffing("spare", min(self.stock.fresh, ready), 0, missing, 0)]
        for role, workers in self._workers.items():
            lacking -= missing
            idle = workers.total - workers.held
            missing = min(lacking, idle)
            staffings.insert(0, Staffing(role, idle - missing, workers.held, missing, workers.waiting))
        return tuple(staffings)

    def role_for_intake(self, principal: str) -> str:
        """Of several principals one may keep the intake worker busy; an idle worker for renders helps out meanwhile."""
        is_busy = self._workers[_INTAKE].held > 0
        helps = self._is_shared() and is_busy and self._workers[RENDER].is_free(*self._keys(RENDER, principal))
        return RENDER if helps else _INTAKE

    def _keys(self, role: str, principal: str, work: Work = "job") -> tuple[Key, ...]:
        """Of two render workers and more, one of several principals leaves one to the others."""
        workers = self._workers[role].total
        of_principal = workers - 1 if workers > 1 and self._is_shared() else workers
        return Key(f"for a {work}", workers), Key(f"of {principal}", of_principal)

    def worker(
        self, role: str, principal: str, work: Work = "job", *, is_drawing: bool = False, batch: int = 0
    ) -> Assignment:
        is_used_up = self._config.isolation == "picture" and not is_drawing
        most_renders = 0 if is_used_up else self._config.recycle_after
        owner = self._owner(role, principal, is_drawing=is_drawing)
        keys = self._keys(role, principal, work)
        return Assignment(self._workers[role], keys, self.stock, owner, most_renders, batch, _PATIENCE_S[work])

    @contextlib.asynccontextmanager
    async def lone_worker(self) -> AsyncIterator[Child]:
        """A process for one picture, beyond the limits."""
        if self.stock.is_closed:
            raise stopping()
        try:
            child = await self.stock.start_one()
        except CannotStartWorker as error:
            raise NoWorker(f"no fresh render worker could be started: {error}", "try again") from error
        try:
            yield child
        except WorkerDied:
            child.kill("fault")
            raise
        finally:
            child.kill("surplus")

    def _owner(self, role: str, principal: str, *, is_drawing: bool) -> Owner:
        if self._config.isolation == "shared":
            return Owner("", role)
        if is_drawing and self._draws_apart:
            return Owner("", _DRAWING)
        return Owner(principal, role)

    @property
    def _draws_apart(self) -> bool:
        """Whether placeholders, which hold nobody's data, have a worker of their own, which never reads a picture."""
        return self._config.isolation == "picture" or (self._config.isolation == "principal" and self._is_shared())

    def _sizes(self) -> Sizes:
        """Of several principals each may keep some workers, besides the working and the ready ones."""
        working = self._config.workers + 1 + self._draws_apart
        fresh, kept = (2, _KEPT_FORKED) if self.stock.starter.is_forking else (1, working)
        return Sizes(fresh, least=working + fresh, most=working + fresh + kept * self._is_shared())
