"""One thread beside the event loop, for work that blocks and must stay in its order: the queue's commits.

A call of an executor would cost three futures and a waiting task, and a job needs four calls. While the loop is busy,
the thread follows it from processor to processor.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Collection
from queue import SimpleQueue
from typing import TypeVar

from imgserve.processor import Place, stay_on

T = TypeVar("T")


class LoopThread:
    """Runs functions one after the other, and delivers each result or exception on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, place: Place | None = None) -> None:
        self._loop = loop
        self._place = Place() if place is None else place
        self._processors = self._place.now()  # when work was sent last
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def send(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """``done`` gets the result of ``work``, or its exception."""

        def run() -> None:
            try:
                result: T | Exception = work()
            except Exception as error:  # noqa: BLE001 - ``done`` gets it
                result = error
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(done, result)

        self._processors = self._place.now()
        self._work.put(run)

    async def call(self, work: Callable[[], T]) -> T:
        """The result of ``work``. Raises its exception."""
        future: asyncio.Future[T | Exception] = self._loop.create_future()
        self.send(work, lambda result: None if future.done() else future.set_result(result))
        result = await future
        if isinstance(result, Exception):
            raise result
        return result

    def stop(self) -> None:
        """Return when all work that was sent is done. Send no more afterwards."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        processors: Collection[int] = ()
        while (work := self._work.get()) is not None:
            if processors != self._processors:
                processors = self._processors
                stay_on(processors)
            work()
