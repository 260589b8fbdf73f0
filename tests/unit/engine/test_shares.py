"""Who wants a part of several things waits for all of them together, and in the meantime holds none."""

import asyncio

import pytest

from imgserve.engine.admission import IntakeFull
from imgserve.engine.shares import Part, Parts, Shares


def part(key: str, turns: int = 1, places: int = 100) -> Part:
    return Part(key, turns, places, f"of {key}")


A, B = part("a"), part("b")


class Scene:
    """``come`` and ``go`` by name; ``in_turn`` is the order in which they had their turns."""

    def __init__(self) -> None:
        self.shares = Shares()
        self.in_turn: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._parts: dict[str, Parts] = {}

    async def come(self, name: str, *parts: Part) -> None:
        async def take() -> None:
            await self.shares.take(parts)
            self.in_turn.append(name)

        self._parts[name], self._tasks[name] = parts, asyncio.create_task(take())
        await settled()

    async def go(self, name: str) -> None:
        self.shares.give_back(self._parts[name])
        await settled()

    async def give_up(self, name: str) -> None:
        self._tasks[name].cancel()
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waits_for_one_thing_holds_no_other() -> None:
    scene = Scene()
    await scene.come("holds b", B)
    await scene.come("waits for b", A, B)
    await scene.come("wants a", A)
    assert scene.in_turn == ["holds b", "wants a"]
    await scene.go("holds b")
    assert "waits for b" not in scene.in_turn, "now it waits for a"
    await scene.come("has b meanwhile", B)
    await scene.go("has b meanwhile")
    await scene.go("wants a")
    assert scene.in_turn[-1] == "waits for b"


async def test_first_come_first_served() -> None:
    scene = Scene()
    for name in ("1", "2", "3", "4"):
        await scene.come(name, part("a", 2), part("b", 9))
    assert scene.in_turn == ["1", "2"]
    await scene.go("2")
    await scene.go("1")
    assert scene.in_turn == ["1", "2", "3", "4"]


async def test_one_that_goes_lets_all_go_on_that_have_room() -> None:
    scene = Scene()
    await scene.come("holds all", A, B)
    await scene.come("a", A)
    await scene.come("b", B)
    await scene.go("holds all")
    assert scene.in_turn == ["holds all", "a", "b"]


async def test_one_parked_elsewhere_does_not_end_the_line() -> None:
    scene = Scene()
    await scene.come("holds a", A)
    await scene.come("holds b", B)
    await scene.come("wants both", A, B)
    await scene.come("wants a", A)
    await scene.go("holds a")
    assert scene.in_turn[-1] == "wants a"


async def test_who_gives_up_is_passed_over_and_leaves_its_place() -> None:
    scene = Scene()
    small = part("a", 1, 2)
    await scene.come("holds", small)
    await scene.come("gives up", small)
    with pytest.raises(IntakeFull, match="2 requests of a wait"):
        await scene.shares.take((small,))
    await scene.give_up("gives up")
    await scene.come("next", small)
    await scene.go("holds")
    assert scene.in_turn == ["holds", "next"]


async def test_who_gives_up_in_the_moment_of_its_turn_passes_it_on() -> None:
    scene = Scene()
    await scene.come("holds", A)
    await scene.come("gives up", A)
    await scene.come("next", A)
    scene.shares.give_back((A,))
    await scene.give_up("gives up")
    assert scene.in_turn == ["holds", "next"]


async def test_nothing_is_remembered_of_who_has_gone() -> None:
    scene = Scene()
    await scene.come("1", A, B)
    await scene.come("2", B, A)
    await scene.go("1")
    await scene.go("2")
    assert [value for value in vars(scene.shares).values() if value] == []
