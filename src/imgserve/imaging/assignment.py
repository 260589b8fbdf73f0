"""A worker for one request: a slot of a limiter and a process from the stock, acquired and released. For ``pool``."""

import asyncio

import msgspec

from imgserve.imaging.faults import NoWorker, WorkerDied
from imgserve.imaging.process import Child
from imgserve.imaging.stock import Owner, Stock
from imgserve.limiter import Key, Limiter
from imgserve.timeout import waiting

# Most batches end sooner. In a longer one a second decode costs less than the wait beside idle workers.
HELP_AFTER_S = 1.0


class Assignment(msgspec.Struct, eq=False):
    """The process of the block. If the block raises WorkerDied, for a reply that cannot be trusted, it is killed.

    Renderings of one ``batch`` follow one another in one process, if possible. ``patience_s``: how long to wait for it
    at most; None: as long as it takes. Entering raises NoWorker.

    A class, since each picture goes through several of these, and a generator costs twice as much.
    """

    limiter: Limiter
    keys: tuple[Key, ...]
    stock: Stock
    owner: Owner
    most_renders: int
    batch: int = 0
    patience_s: float | None = None
    child: Child | None = None

    async def __aenter__(self) -> Child:
        if self.patience_s is None:
            return await self._taken()
        try:
            async with asyncio.timeout(self.patience_s):
                return await self._taken()
        except TimeoutError:
            error = NoWorker(f"no worker was free within {self.patience_s:g} s", "try again later")
            error.retry_after_s = self.patience_s
            raise error from None

    async def _taken(self) -> Child:
        with waiting():
            await self._acquire()
            try:
                self.child = await self.stock.take(self.owner, self.batch)
            except BaseException:
                self.limiter.release(*self.keys)
                raise
        return self.child

    async def _acquire(self) -> None:
        if not self.batch:
            await self.limiter.acquire(*self.keys)
            return
        # The limiter keeps the batch's place in the line, and lets others pass between two renderings.
        in_turn = (*self.keys, Key(f"of batch {self.batch}", 1))
        grant = self.limiter.request(*in_turn)
        try:
            if await self._is_turn(grant):
                self.keys = in_turn
        except asyncio.CancelledError:
            if not grant.cancel():
                self.limiter.release(*in_turn)
            raise

    async def _is_turn(self, grant: asyncio.Future[None]) -> bool:
        """Wait for the grant. False: the wait was long, and a slot that nobody else wants is held instead."""
        pause_s = HELP_AFTER_S
        while not grant.done():
            await asyncio.wait([grant], timeout=pause_s)
            if not grant.done() and self.limiter.take(*self.keys):
                grant.cancel()
                return False
            pause_s *= 2
        return True

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        assert self.child is not None, "it was entered"
        if isinstance(error, WorkerDied):
            self.child.kill("fault")
        if self.child.renders >= self.most_renders:
            self.child.kill("retired")
        self.stock.give_back(self.child, self.owner)
        self.limiter.release(*self.keys)
