"""One thread beside the event loop, for work that blocks and must stay in its order: the queue's commits.

An executor would do; but each call of one costs three futures and a waiting task, and a job makes four.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs functions one after the other, and delivers each one's value or exception on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def send(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """``done`` gets the value of ``work``, or the exception that ended it."""

        def carry_out() -> None:
            try:
                end: T | Exception = work()
            except Exception as error:  # noqa: BLE001 - it is handed to the caller
                end = error
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: no caller is left
                self._loop.call_soon_threadsafe(done, end)

        self._work.put(carry_out)

    async def call(self, work: Callable[[], T]) -> T:
        """The value of ``work``, or its exception."""
        future: asyncio.Future[T | Exception] = self._loop.create_future()
        self.send(work, lambda end: None if future.done() else future.set_result(end))
        end = await future
        if isinstance(end, Exception):
            raise end
        return end

    def stop(self) -> None:
        """Return when all that was sent has been done. Nothing may be sent any more."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
