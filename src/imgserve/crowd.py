"""Who is turned away at the door because of the crowd, before anything is fetched for them. Asked by intake.

In: how many requests wait, what the queue last said. Out: ``QueueFull`` or ``IntakeFull``, both 301 with the time after
which it is worth asking again.
"""

from imgserve.errors import ImgserveError
from imgserve.jobs.queue import QueueFull

# A full queue is believed to be full for so long: a probe for each who is refused would cost more than the jobs.
FULL_FOR_S = 0.25


class IntakeFull(ImgserveError):
    code = "intake_full"
    classic_code = 301
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
