"""A worker for one order: the place in a lane and the process from the stock, taken and given back. For ``pool``."""

from imgserve.imaging.lane import Lane
from imgserve.imaging.process import Child
from imgserve.imaging.stock import Owner, Stock


class Assignment:
    """A place in the lane, and a process that this principal may have for it, as long as the block runs.

    A class, since each picture goes through several of these, and a generator costs twice as much.
    """

    __slots__ = ("_child", "_lane", "_most_renders", "_owner", "_stock", "_whose")

    def __init__(self, lane: Lane, stock: Stock, owner: Owner, whose: str, most_renders: int) -> None:
        self._lane = lane
        self._stock = stock
        self._owner = owner
        self._whose = whose
        self._most_renders = most_renders

    async def __aenter__(self) -> Child:
        await self._lane.acquire(self._whose)
        try:
            self._child = await self._stock.take(self._owner)
        except BaseException:
            self._lane.release(self._whose)
            raise
        return self._child

    async def __aexit__(self, *_: object) -> None:
        if self._child.renders >= self._most_renders:
            self._child.kill("retired")
        self._stock.give_back(self._child, self._owner)
        self._lane.release(self._whose)
