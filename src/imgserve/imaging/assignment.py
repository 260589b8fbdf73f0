"""A worker for one request: a slot of a limiter and a process from the stock, acquired and released. For ``pool``."""

from imgserve.imaging.faults import WorkerDied
from imgserve.imaging.process import Child
from imgserve.imaging.stock import Owner, Stock
from imgserve.limiter import Key, Limiter
from imgserve.timeout import waiting


class Assignment:
    """The process of the block. If the block raises WorkerDied, for a reply that cannot be trusted, it is killed.

    A class, since each picture goes through several of these, and a generator costs twice as much.
    """

    __slots__ = ("_child", "_key", "_limiter", "_most_renders", "_owner", "_stock")

    def __init__(self, limiter: Limiter, key: Key, stock: Stock, owner: Owner, most_renders: int) -> None:
        self._limiter = limiter
        self._key = key
        self._stock = stock
        self._owner = owner
        self._most_renders = most_renders

    async def __aenter__(self) -> Child:
        with waiting():
            await self._limiter.acquire(self._key)
            try:
                self._child = await self._stock.take(self._owner)
            except BaseException:
                self._limiter.release(self._key)
                raise
        return self._child

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, WorkerDied):
            self._child.kill("fault")
        if self._child.renders >= self._most_renders:
            self._child.kill("retired")
        self._stock.give_back(self._child, self._owner)
        self._limiter.release(self._key)
