"""Answers that are held back because the client asked for it (``Prefer: wait``). Called by ``jobs``.

They hold no slot of intake, only their connection. They end at once when the server drains.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from imgserve.limiter import Key, Limiter
from imgserve.request.principal import Principal

# A held answer costs a connection and a few small tasks; more clients than this would rather ask again.
MOST = 1000
_QUOTA = 2  # one of several principals may have half of them


class Waits:
    def __init__(self, most: int = MOST) -> None:
        self._limiter = Limiter(most)
        self._is_over = asyncio.Event()

    def end(self) -> None:
        """Answer all clients that wait, and hold back no further answer."""
        self._is_over.set()

    async def hold(
        self, principal: Principal, ended: Coroutine[Any, Any, object], gone: Coroutine[Any, Any, None]
    ) -> bool:
        """Return when one of them does, or the server drains. False: too many wait, so this client did not."""
        part = _QUOTA if principal.has_quota else 1
        key = Key(principal.id, max(self._limiter.total // part, 1))
        if self._is_over.is_set() or not self._limiter.take(key):
            ended.close()
            gone.close()
            return False
        tasks = [asyncio.create_task(ended), asyncio.create_task(gone), asyncio.create_task(self._drained())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._limiter.release(key)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
        return True

    async def _drained(self) -> None:
        await self._is_over.wait()
