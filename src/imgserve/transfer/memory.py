"""The memory budget for sources: ``fetch`` reserves memory before it keeps the first byte of a body."""

import asyncio
import contextlib
import threading
from collections.abc import Callable

from imgserve.limiter import Limiter


class Together:
    """A budget for a number of sources that are needed together: all of their requests are granted at once.

    So none of them holds memory while it waits for the others'. ``on_wait`` is called if they have to wait.
    """

    def __init__(self, budget: Limiter, sources: int, on_wait: Callable[[], None] | None = None) -> None:
        self.total = budget.total // sources  # a request for more counts as so much: the sum must fit
        self.release = budget.release
        self._budget = budget
        self._sources = sources
        self._on_wait = on_wait
        self._requests: list[tuple[int, asyncio.Future[None]]] = []
        self._room: asyncio.Future[None] | None = None

    def request(self, *, weight: int) -> asyncio.Future[None]:
        """One for each source. The future is done when all have been made and there is room for their sum."""
        grant: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        grant.add_done_callback(self._give_up)
        self._requests.append((weight, grant))
        if len(self._requests) == self._sources:
            self._room = self._budget.request(weight=sum(weight for weight, _ in self._requests))
            self._room.add_done_callback(self._admit)
            if self._on_wait is not None and not self._room.done():
                self._on_wait()
        return grant

    def _admit(self, room: asyncio.Future[None]) -> None:
        for weight, grant in self._requests if not room.cancelled() else ():
            if grant.cancelled():
                self.release(weight=weight)
            else:
                grant.set_result(None)

    def _give_up(self, grant: asyncio.Future[None]) -> None:
        if grant.cancelled() and self._room is not None:
            self._room.cancel()


class Reservation:
    """One source's part of the budget. Lives in the event loop that made it."""

    def __init__(self, budget: Limiter | Together) -> None:
        self._budget = budget
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._grant: asyncio.Future[None] | None = None
        self._granted_bytes = 0

    @property
    def size_bytes(self) -> int:
        grant = self._grant
        return self._granted_bytes if grant is not None and grant.done() and not grant.cancelled() else 0

    def take(self, size_bytes: int) -> asyncio.Future[None]:
        """Reserve; the future is done at once, or when the bytes are free. More than the whole budget counts as all."""
        self._give_back()
        self._granted_bytes = min(size_bytes, self._budget.total)
        self._grant = self._budget.request(weight=self._granted_bytes)
        return self._grant

    def take_at_once(self, size_bytes: int) -> bool:
        """Reserve without a wait; False, and nothing is done, where that cannot be.

        It may be more than is needed, so half of the memory is left to those who know. Sources that are needed together
        ask once each.
        """
        if isinstance(self._budget, Together) or self._budget.held + size_bytes > self._budget.total // 2:
            return False
        if not self._budget.take(weight=size_bytes):
            return False
        self._grant, self._granted_bytes = self._loop.create_future(), size_bytes
        self._grant.set_result(None)
        return True

    def forgo(self) -> None:
        """A source that failed before it asked needs nothing: the others that are needed with it wait no longer."""
        if self._grant is None and isinstance(self._budget, Together):
            self.take(0)

    def shrink(self, size_bytes: int) -> None:
        """Keep only so much: the rest was reserved for a length that was not known."""
        surplus = self.size_bytes - size_bytes
        if surplus > 0:
            self._granted_bytes = size_bytes
            self._budget.release(weight=surplus)

    def release(self, is_interrupting: bool = False) -> None:
        """Give everything back, and wait for no more.

        At once in the loop's thread; soon in another thread, or when this interrupts other code of the loop's.
        """
        if threading.get_ident() == self._thread_id and not is_interrupting:
            self._give_back()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed, and the budget went with it
            self._loop.call_soon_threadsafe(self._give_back)

    def _give_back(self) -> None:
        if self._grant is not None:
            self._grant.cancel()
            self.shrink(0)
