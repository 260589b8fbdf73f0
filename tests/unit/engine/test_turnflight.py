"""Equal work that waits for its turn: which group does it, and who is refused."""

import asyncio
from collections.abc import Callable
from typing import Self

from imgserve.engine.turnflight import TurnFlight


class Result:
    """``handles``: those that are open."""

    handles = 0

    def __init__(self, group: str) -> None:
        self.group = group
        self.handles = 1

    def share(self) -> Self:
        self.handles += 1
        return self

    def close(self) -> None:
        self.handles -= 1


class Refused(Exception):
    pass


class Scene:
    """Turns are given by ``turn``, and the work ends at ``finish``."""

    def __init__(self) -> None:
        self.joined = 0
        self.log: list[str] = []
        self.finish = asyncio.Event()
        self._turns: dict[str, asyncio.Future[None]] = {}
        self._flights: TurnFlight[Result] = TurnFlight(self._join)
        self._tasks: list[asyncio.Task[Result]] = []  # the loop alone holds tasks weakly

    def _join(self) -> None:
        self.joined += 1

    async def _work(self, group: str, begun: Callable[[], None]) -> Result:
        self._turns[group] = asyncio.get_running_loop().create_future()
        try:
            await self._turns[group]
            begun()
            self.log.append(f"{group} works")
            await self.finish.wait()
            return Result(group)
        except asyncio.CancelledError:
            self.log.append(f"{group} ends")
            raise

    async def come(self, group: str) -> asyncio.Task[Result]:
        async def ask() -> Result:
            return await self._flights.result("key", group, lambda begun: self._work(group, begun))

        task = asyncio.create_task(ask())
        self._tasks.append(task)
        await turns()
        return task

    def turn(self, group: str) -> None:
        self._turns[group].set_result(None)

    def refuse(self, group: str) -> None:
        self._turns[group].set_exception(Refused())


async def turns() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def test_the_first_group_whose_turn_comes_works_for_all() -> None:
    scene = Scene()
    tasks = [await scene.come(group) for group in ("a", "a", "b", "c")]
    scene.turn("b")
    scene.turn("c")
    await turns()
    assert scene.log[0] == "b works"
    assert sorted(scene.log[1:]) == ["a ends", "c ends"]
    tasks.append(await scene.come("d"))
    scene.finish.set()
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks)
    assert {result.group for result in results} == {"b"}
    assert (len({*map(id, results)}), results[0].handles, scene.joined) == (1, 5, 4)


async def test_a_refusal_is_that_of_its_group_alone() -> None:
    scene = Scene()
    refused, other = [await scene.come("a"), await scene.come("a")], await scene.come("b")
    scene.refuse("a")
    await turns()
    assert [type(task.exception()) for task in refused] == [Refused, Refused]
    again = await scene.come("a")
    scene.turn("a")
    await turns()
    scene.finish.set()
    async with asyncio.timeout(20):
        assert [(await task).group for task in (again, other)] == ["a", "a"]


async def test_the_last_of_a_group_that_leaves_gives_up_its_place() -> None:
    scene = Scene()
    first, second, other = await scene.come("a"), await scene.come("a"), await scene.come("b")
    first.cancel()
    await turns()
    assert scene.log == []
    second.cancel()
    await turns()
    assert scene.log == ["a ends"]
    scene.turn("b")
    await turns()
    other.cancel()
    await turns()
    assert scene.log == ["a ends", "b works", "b ends"]


async def test_the_work_goes_on_for_the_other_groups() -> None:
    scene = Scene()
    worker, other = await scene.come("a"), await scene.come("b")
    scene.turn("a")
    await turns()
    worker.cancel()
    await turns()
    scene.finish.set()
    async with asyncio.timeout(20):
        result = await other
    assert (result.group, result.handles) == ("a", 1)


async def test_a_fault_of_the_work_is_everyones() -> None:
    flights: TurnFlight[Result] = TurnFlight()

    async def work(begun: Callable[[], None]) -> Result:
        begun()
        await turns()
        raise Refused

    answers = await asyncio.gather(*(flights.result("key", name, work) for name in "ab"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Refused, Refused]
