"""The memory for pictures that clients send, by principal. Called by ``ondemand``.

All of a picture's memory is reserved before its first byte, and it may come as slowly as its route allows: a few such
pictures of one principal could keep all others from fetching. So each of several principals has a part of the memory
for sources while it sends.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from imgserve.engine.ondemand_slots import OnDemandQuotaFull
from imgserve.limiter import Limiter
from imgserve.request.principal import Principal


class Receiving:
    """``most_bytes``: of the pictures that one of several principals sends at the same time."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = max(most_bytes, 1)
        self._of: dict[str, Limiter] = {}

    @contextlib.asynccontextmanager
    async def part(self, principal: Principal, size_bytes: int, patience_s: float) -> AsyncIterator[None]:
        """Room for a picture of this size in the principal's part; a larger one takes all of it.

        Raises OnDemandQuotaFull: there was none in time.
        """
        limiter = self._of.setdefault(principal.id, Limiter(self._most_bytes))
        size_bytes = min(size_bytes, self._most_bytes)
        try:
            async with asyncio.timeout(patience_s):
                await limiter.acquire(weight=size_bytes)
        except TimeoutError:
            what = f"pictures of {self._most_bytes:,} bytes are being received with this key, which is its quota"
            raise OnDemandQuotaFull(what, "send one when another has been received") from None
        try:
            yield
        finally:
            limiter.release(weight=size_bytes)
            if not limiter.held and not limiter.waiting:
                self._of.pop(principal.id, None)
