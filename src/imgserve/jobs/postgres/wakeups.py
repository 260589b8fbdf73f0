"""Wakes this node's waiters, and by ``signals`` those of the other nodes."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

from imgserve.jobs.postgres.news import News, Topic, mark
from imgserve.jobs.postgres.signals import Signals
from imgserve.jobs.sql.wakeups import Wakeups
from imgserve.jobs.sql.watches import EventWatch, Watches

# Longer than an answer of the database is under way behind a notification.
LATELY_S = 5.0


class SharedWakeups(Wakeups):
    """``has_outbox``: this node sends what is in the outbox."""

    def __init__(self, signals: Signals, *, has_outbox: bool) -> None:
        super().__init__()
        self._signals = signals
        self._has_outbox = has_outbox
        self._is_work_untold = False
        self._lately_freed: dict[str, float] = {}

    def activated(self, keys: list[str]) -> None:
        self._is_work_untold = True
        super().activated(keys)

    def work_came(self) -> None:
        super().work_came()
        self._is_work_untold = False
        self._signals.tell_soon().came.add("work")

    def work_left(self) -> None:
        """Due jobs were more than this node has taken."""
        if self._is_work_untold:
            self.work_came()

    def outbox_came(self) -> None:
        super().outbox_came()
        if not self._has_outbox:
            self.outbox_left()

    def outbox_left(self) -> None:
        self._signals.tell_soon().came.add("outbox")

    def taken_over(self) -> None:
        """What dead nodes had is due, and their destinations are free."""
        self.work_came()
        self.outbox_came()
        super().free(list(self._freed))
        self._signals.tell_soon().came |= {"outbox", "freed"}

    def free(self, keys: list[str]) -> None:
        super().free(keys)
        if keys and self._signals.is_wanted("freed"):
            self._signals.tell_soon().freed.update(map(mark, keys))

    def is_busy(self, key: str) -> None:
        """The news that it is free may have come before the answer that it is not; then nobody waits."""
        if self._lately_freed.pop(mark(key), float("-inf")) < time.monotonic() - LATELY_S:
            super().is_busy(key)
            self._signals.want("freed")

    def ended(self, job_id: str) -> None:
        super().ended(job_id)
        self._signals.tell_end()
        if self._signals.is_wanted("ended"):
            self._signals.tell_soon().ended.add(job_id)

    @contextlib.contextmanager
    def awaiting(self, job_id: str) -> Iterator[asyncio.Future[bool]]:
        with super().awaiting(job_id) as end:
            self._signals.want("ended")
            yield end

    def wants(self) -> Iterator[Topic]:
        """For which topics there are waiters."""
        if self._freed:
            yield "freed"
        if self._awaited:
            yield "ended"

    def hear(self, news: News) -> None:
        if "work" in news.came:
            self.work.set()
        if "outbox" in news.came:
            self.outbox.set()
        if news.cancelled:
            self.suspect(news.cancelled)
        self._hear_freed(news)
        for job_id in news.ended:
            self._wake_waiters(job_id, has_ended=True)
        if "ended" in news.came:
            for job_id in tuple(self._awaited):
                self._wake_waiters(job_id, has_ended=False)

    def _hear_freed(self, news: News) -> None:
        now = time.monotonic()
        self._lately_freed = {name: at for name, at in self._lately_freed.items() if at > now - LATELY_S}
        self._lately_freed |= dict.fromkeys(news.freed, now)
        if "freed" in news.came or news.freed:
            super().free([key for key in self._freed if "freed" in news.came or mark(key) in news.freed])


class SharedWatches(Watches):
    """Readers of this node and of others. Events are noted while any node has one."""

    def __init__(self, signals: Signals) -> None:
        super().__init__()
        self._signals = signals
        self._was_wanted = False

    def __bool__(self) -> bool:
        return super().__bool__() or self._signals.is_wanted("events")

    @property
    def is_watched(self) -> bool:
        """By this node's readers."""
        return super().__bool__()

    @contextlib.contextmanager
    def watch(self, principal: str | None, job_id: str) -> Iterator[EventWatch]:
        with super().watch(principal, job_id) as watch:
            self._signals.want("events")
            yield watch

    def committed(self) -> None:
        is_wanted = self._signals.is_wanted("events")
        if is_wanted and not self._was_wanted:
            self._signals.tell_soon().came.add("events")  # this commit was under way, and has not noted all
        elif is_wanted and self._noted:
            self._signals.tell_soon().events.update(self._noted)
        self._was_wanted = is_wanted
        super().committed()

    def hear(self, news: News) -> None:
        if "events" in news.came:
            self.wake_all()
        elif news.events:
            self.stored(news.events)
