"""A timer beside what is timed, in the same event loop: a busy machine makes both late, and changes not their order."""

import asyncio
from typing import Any

_TURNS = 20  # of the loop: an end that came in the twin's own turn reaches its task in a few


class Twin:
    """``await is_first(task)``: whether ``seconds`` since this was made were over while the task had not ended."""

    def __init__(self, seconds: float) -> None:
        self._timer = asyncio.create_task(asyncio.sleep(seconds))

    async def is_first(self, task: "asyncio.Future[Any]") -> bool:
        if self._timer.done():
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        return self._timer.done() and not task.done()

    def stop(self) -> None:
        self._timer.cancel()
