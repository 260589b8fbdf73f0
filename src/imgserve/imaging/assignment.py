"""A worker for one request: a slot of a limiter and a process from the stock, acquired and released. For ``pool``."""

import asyncio

import msgspec

from imgserve.imaging.faults import NoWorker, WorkerDied
from imgserve.imaging.process import Child
from imgserve.imaging.stock import Owner, Stock
from imgserve.limiter import Key, Limiter
from imgserve.timeout import waiting


class Assignment(msgspec.Struct, eq=False):
    """The process of the block. If the block raises WorkerDied, for a reply that cannot be trusted, it is killed.

    ``batch``: a process that has rendered for it is preferred. ``patience_s``: how long to wait for it at most; None:
    as long as it takes. Entering raises NoWorker.

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
            await self.limiter.acquire(*self.keys)
            try:
                self.child = await self.stock.take(self.owner, self.batch)
            except BaseException:
                self.limiter.release(*self.keys)
                raise
        return self.child

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        assert self.child is not None, "it was entered"
        if isinstance(error, WorkerDied):
            self.child.kill("fault")
        if self.child.renders >= self.most_renders:
            self.child.kill("retired")
        self.stock.give_back(self.child, self.owner)
        self.limiter.release(*self.keys)
