"""The memory budget for sources on their way: ``fetch`` reserves memory before it keeps the first byte of a body."""

import asyncio
import contextlib
from functools import partial

from imgserve.limiter import Limiter


class Reservation:
    """One holder's part of the budget. Lives in the loop that made it, but any thread may ``release`` it, because a
    blob closes wherever its last reference goes.
    """

    def __init__(self, budget: Limiter) -> None:
        self._budget = budget
        self._loop = asyncio.get_running_loop()
        self._is_released = False
        self.size_bytes = 0

    def take(self, size_bytes: int) -> asyncio.Future[None]:
        """Reserve; the future is done at once, or when the bytes are free. More than the whole budget counts as all."""
        size_bytes = min(size_bytes, self._budget.total)
        grant = self._budget.request(weight=size_bytes)
        if grant.done():
            self.size_bytes += size_bytes
        else:
            grant.add_done_callback(partial(self._granted, size_bytes))
        return grant

    def shrink(self, size_bytes: int) -> None:
        """Keep only so much: the rest was reserved for a length that was not known."""
        surplus = self.size_bytes - size_bytes
        if surplus > 0:
            self.size_bytes = size_bytes
            self._budget.release(weight=surplus)

    def release(self) -> None:
        """Give everything back soon. Also what is still waited for, when it comes."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the budget went with it
            self._loop.call_soon_threadsafe(self._release)

    def _granted(self, size_bytes: int, grant: asyncio.Future[None]) -> None:
        if not grant.cancelled():
            self.size_bytes += size_bytes
            if self._is_released:
                self.shrink(0)

    def _release(self) -> None:
        self._is_released = True
        self.shrink(0)
