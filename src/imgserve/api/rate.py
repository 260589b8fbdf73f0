"""Rate limit of posts: a token bucket for each principal, in memory. Used by ``classic`` and ``v1/jobs``.

A bucket fills evenly, up to ``burst``. A request takes one token; without one it is refused with the time of the next.
"""

import math
import time
from collections.abc import Callable

from imgserve.errors import ImgserveError
from imgserve.request.principal import Principal


class RateLimited(ImgserveError):
    code = "rate_limited"
    status = 429
    is_retryable = True
    title = "Too many posts in a minute"


class Rates:
    def __init__(self, per_minute: int, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``per_minute`` 0: no limit."""
        self._per_minute = per_minute
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, and the time at which they were counted

    def take(self, principal: Principal) -> None:
        """Raises RateLimited."""
        if not self._per_minute:
            return
        now, per_second = self._clock(), self._per_minute / 60
        before, then = self._buckets.get(principal.id, (float(self._burst), now))
        tokens = min(before + (now - then) * per_second, float(self._burst))
        if tokens < 1:
            wait_s = math.ceil((1 - tokens) / per_second)
            error = RateLimited(
                f"{self._per_minute} jobs a minute are allowed to one principal", f"try again in {wait_s} s"
            )
            error.retry_after_s = wait_s
            raise error
        self._buckets[principal.id] = (tokens - 1, now)


NO_RATE = Rates(0, 0)
