"""Changes that must reach the disk, however long the disk cannot be written: an end that nobody knows of would be
repeated, a release that got lost would leave a placeholder for ever. Used by intake and runner.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from imgserve import logs
from imgserve.jobs.queue import StorageFailing

T = TypeVar("T")

PAUSE_S = 1.0


async def until_stored(change: Callable[[], Awaitable[T]]) -> T:
    """The change's value. Tries again as long as the storage fails."""
    while True:
        try:
            return await change()
        except StorageFailing as error:
            logs.event("storage_failing", level=logs.WARNING, detail=error.detail)
            await asyncio.sleep(PAUSE_S)
