"""When the committer begins its next commit: at once, or when more changes have come that share it. No I/O.

Most of a commit's cost is the same for one change and for ten. While many jobs are under way, their changes come within
milliseconds of each other, and what a job waits for is a worker, not its own commits.
"""

import asyncio
import contextvars
import math
from collections.abc import Callable

# With fewer jobs a change that waits finds few others. A job counts until its end is stored, after its client has seen
# the result, so these are more than four clients.
MANY = 8


class Gathering:
    """``apart_s``: how long after the beginning of a commit the next one may begin, while many jobs are under way; it
    begins earlier once half as many changes wait for it as there are jobs. ``begin`` is called after a wait.
    """

    def __init__(self, apart_s: float, begin: Callable[[], None]) -> None:
        self._apart_s = apart_s
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._next_at_s = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self.under_way: Callable[[], int] = lambda: 0

    @property
    def is_waiting(self) -> bool:
        return self._timer is not None

    def waits(self, changes: int) -> bool:
        """Whether a commit of so many changes is to wait. If not, the caller begins it."""
        left_s, jobs = self._next_at_s - self._loop.time(), self.under_way()
        is_early = left_s > 0.0 and jobs >= MANY and 2 * changes < jobs
        if not is_early and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        elif is_early and self._timer is None:
            self._timer = self._loop.call_later(left_s, self._waited, context=contextvars.Context())
        return is_early

    def began(self) -> None:
        self._next_at_s = self._loop.time() + self._apart_s

    def _waited(self) -> None:
        self._timer = None
        self._next_at_s = -math.inf  # a timer may be early by a part of a millisecond
        self._begin()
