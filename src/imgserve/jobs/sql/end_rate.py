"""How fast jobs end, and so after how long a refused request should be repeated. Pure; times come in as arguments."""

import math
from collections import deque

from imgserve.jobs.config import Config
from imgserve.jobs.faults import QueueFull, QuotaFull

WINDOW_S = 60
UNMEASURED_RETRY_S = 5
MIN_RETRY_S, MAX_RETRY_S = 1, 600
# Not at the first free place: all requests that were refused at the same time would come for it.
_FREED_PART = 10


class EndRate:
    """Ends of the last minute, second by second."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._ends: deque[tuple[int, int]] = deque()
        self._total = 0

    def ended(self, now: float, jobs: int = 1) -> None:
        self._forget(now)
        second = int(now)
        earlier = self._ends.pop()[1] if self._ends and self._ends[-1][0] == second else 0
        self._ends.append((second, earlier + jobs))
        self._total += jobs

    def per_second(self, now: float) -> float:
        self._forget(now)
        return self._total / max(min(now - self._since, WINDOW_S), 1.0)

    def retry_after_s(self, jobs: int, now: float) -> int:
        """Seconds until so many jobs will have ended at the present rate; from 1 to 600."""
        rate = self.per_second(now)
        if rate > 0:
            return round(min(max(jobs / rate, MIN_RETRY_S), MAX_RETRY_S))
        return UNMEASURED_RETRY_S if now - self._since < WINDOW_S else MAX_RETRY_S

    def retry_after_refusal_s(self, error: QueueFull | QuotaFull, config: Config, now: float) -> int:
        """Seconds until a tenth of the queue, or of the principal's quota, will be free."""
        if isinstance(error, QueueFull):
            return self.retry_after_s(max(config.max_waiting // _FREED_PART, 1), now)
        own = max(config.max_per_principal // _FREED_PART, 1)
        return self.retry_after_s(math.ceil(own / error.part), now)  # its jobs end in turns with the others'

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now - WINDOW_S:
            self._total -= self._ends.popleft()[1]
