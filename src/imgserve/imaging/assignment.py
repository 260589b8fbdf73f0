"""A worker for one request: a slot of a limiter and a process from the stock, acquired and released. For ``pool``."""

import msgspec

from imgserve.imaging.faults import WorkerDied
from imgserve.imaging.process import Child
from imgserve.imaging.stock import Owner, Stock
from imgserve.limiter import Key, Limiter
from imgserve.timeout import waiting


class Assignment(msgspec.Struct, eq=False):
    """The process of the block. If the block raises WorkerDied, for a reply that cannot be trusted, it is killed.

    A class, since each picture goes through several of these, and a generator costs twice as much.
    """

    limiter: Limiter
    key: Key
    stock: Stock
    owner: Owner
    most_renders: int
    child: Child | None = None

    async def __aenter__(self) -> Child:
        with waiting():
            await self.limiter.acquire(self.key)
            try:
                self.child = await self.stock.take(self.owner)
            except BaseException:
                self.limiter.release(self.key)
                raise
        return self.child

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        assert self.child is not None, "it was entered"
        if isinstance(error, WorkerDied):
            self.child.kill("fault")
        if self.child.renders >= self.most_renders:
            self.child.kill("retired")
        self.stock.give_back(self.child, self.owner)
        self.limiter.release(self.key)
