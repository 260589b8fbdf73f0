"""Load shedding: rejects a request before any work is done for it. Called by intake.

In: the number of waiting requests, and the queue's last refusal. Out: ``QueueFull`` or ``IntakeFull``, both 301 with
a ``Retry-After``.
"""

from imgserve.errors import ImgserveError
from imgserve.jobs.protocol import QueueFull

# A full queue counts as full for so long: a probe for each refused request would cost more than the jobs.
FULL_FOR_S = 0.25


class IntakeFull(ImgserveError):
    code = "intake_full"
    status = 503
    is_retryable = True
    title = "Too many requests wait for their reply"


class Crowd:
    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._full: QueueFull | None = None
        self._until = 0.0

    def check(self, waiting: int, now: float) -> None:
        """Raises QueueFull, IntakeFull."""
        if self._full is not None and now < self._until:
            again = QueueFull(self._full.detail, self._full.hint)
            again.retry_after_s = self._full.retry_after_s
            raise again
        if waiting >= self._max_waiting:
            raise IntakeFull(f"{waiting} requests wait for their reply, which is the limit", "try again later")

    def is_full(self, error: QueueFull, now: float) -> None:
        """The queue has refused a job."""
        self._full, self._until = error, now + FULL_FOR_S
