"""Ends work for a client that has hung up. Used by the calls whose clients wait for pictures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable


class ClientGone(Exception):
    """The client hung up: nobody is there to be answered."""


@contextlib.asynccontextmanager
async def while_connected(until_gone: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Ends the block when the client hangs up. Raises ClientGone."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:

            async def watch() -> None:
                await until_gone()
                limit.reschedule(loop.time())

            watcher = asyncio.create_task(watch())
            try:
                yield
            finally:
                watcher.cancel()
    except TimeoutError:
        raise ClientGone from None
