"""Wakes the readers of events after each commit that stores some. For ``queue`` and ``events``.

While nobody watches, no transaction does any work for it.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterator

from imgserve.jobs.sql.wakeups import until_set


class EventWatch:
    """``principal`` None: the events of all; ``job_id`` empty: those of all jobs."""

    def __init__(self, principal: str | None, job_id: str) -> None:
        self._principal = principal
        self._job_id = job_id
        self._is_new = True
        self._event = asyncio.Event()

    async def until_more(self, timeout_s: float) -> None:
        await until_set(self._event, timeout_s)

    def wake(self) -> None:
        self._event.set()

    def committed(self, principals: set[str], job_ids: set[str]) -> None:
        """A commit that was under way when the watch began has not noted its events."""
        if self._is_new:
            self._event.set()
        self._is_new = False
        self.stored(principals, job_ids)

    def stored(self, principals: set[str], job_ids: set[str]) -> None:
        is_of_job = self._job_id in job_ids
        is_of_principal = not self._job_id and (self._principal is None or self._principal in principals)
        if job_ids and (is_of_job or is_of_principal):
            self._event.set()


class Watches:
    """Those who watch now. True if there is one."""

    def __init__(self) -> None:
        self._watches: set[EventWatch] = set()
        self._noted: list[tuple[str, str]] = []

    def __bool__(self) -> bool:
        return bool(self._watches)

    @contextlib.contextmanager
    def watch(self, principal: str | None, job_id: str) -> Iterator[EventWatch]:
        watch = EventWatch(principal, job_id)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def note(self, principal: str, job_id: str) -> None:
        """The next commit stores events of this job. Called in the committer's thread, if anybody watches."""
        self._noted.append((principal, job_id))

    def committed(self) -> None:
        """Called on the event loop, between two commits, as ``rolled_back`` is in the committer's thread."""
        if self._watches:
            principals, job_ids = {principal for principal, _ in self._noted}, {job_id for _, job_id in self._noted}
            for watch in self._watches:
                watch.committed(principals, job_ids)
        self._noted.clear()

    def stored(self, noted: Collection[tuple[str, str]]) -> None:
        """Another server has stored events of these principals and jobs."""
        principals, job_ids = {principal for principal, _ in noted}, {job_id for _, job_id in noted}
        for watch in self._watches:
            watch.stored(principals, job_ids)

    def wake_all(self) -> None:
        for watch in self._watches:
            watch.wake()

    def rolled_back(self) -> None:
        self._noted.clear()
