"""Ends work for a client that has hung up. Used by the calls whose clients wait for pictures."""

import asyncio
from collections.abc import Callable
from types import TracebackType

# ``scope["on_gone"]``: has a function called once if the client hangs up, until the returned one is called.
OnGone = Callable[[Callable[[], object]], Callable[[], object]]


class ClientGone(Exception):
    """The client hung up: nobody is there to be answered."""


class while_connected:
    """Ends the block when the client hangs up. Raises ClientGone.

    By a callback of the connection: a task that waits for ASGI's message costs a twentieth of the answer to an icon.
    """

    __slots__ = ("_forget", "_limit", "_on_gone")

    def __init__(self, on_gone: OnGone) -> None:
        self._on_gone = on_gone
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._forget = self._on_gone(self._end)

    def _end(self) -> None:
        self._limit.reschedule(asyncio.get_running_loop().time())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            raise ClientGone from None
