"""Who gets the next slot of pictures on demand, who waits for one, and who is refused."""

import asyncio

import pytest

from imgserve.engine.config import OnDemandConfig
from imgserve.engine.intake import Draining
from imgserve.engine.ondemand_slots import OnDemandFull, OnDemandQuotaFull, Slots
from imgserve.errors import ImgserveError
from imgserve.request.principal import Principal
from imgserve.request.source import Source
from tests.support.transfers import source

MOUNT, OTHER, ALONE = (Principal(name, name, has_quota=name != "alone") for name in ("mount", "other", "alone"))


class Client:
    """One request as a task, which holds its slot until ``leave``. ``order`` has the names of those that got one."""

    def __init__(
        self, slots: Slots, name: str, order: list[str], principal: Principal, network: str, of: Source | None
    ) -> None:
        self._done = asyncio.Event()
        self.task = asyncio.create_task(self._ask(slots, name, order, principal, network, of))

    async def _ask(
        self, slots: Slots, name: str, order: list[str], principal: Principal, network: str, of: Source | None
    ) -> None:
        async with slots.slot(principal, of, network):
            order.append(name)
            await self._done.wait()

    @property
    def error(self) -> BaseException | None:
        """That of the refusal, if it has been refused."""
        return self.task.exception() if self.task.done() else None

    async def leave(self) -> None:
        self._done.set()
        await asyncio.wait([self.task])
        await turns()


class Scene:
    def __init__(self, at_once: int, waiting: int, *, patience_s: float = 60.0) -> None:
        config = OnDemandConfig(max_at_once=at_once, max_waiting=waiting, patience_s=patience_s)
        self.slots = Slots(config, fraction=0.5, host_fraction=0.5)
        self.order: list[str] = []
        self._clients: list[Client] = []  # the loop alone holds tasks weakly

    async def come(
        self, name: str, principal: Principal = ALONE, network: str = "", of: Source | None = None
    ) -> Client:
        client = Client(self.slots, name, self.order, principal, network, of)
        self._clients.append(client)
        await turns()
        return client

    async def crowd(self, count: int, principal: Principal, network: str) -> list[Client]:
        """Of them the names are that of the network with numbers."""
        return [await self.come(f"{network}{number}", principal, network) for number in range(count)]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_client_waits_until_a_slot_is_free() -> None:
    scene = Scene(1, 1)
    first, second = await scene.come("first"), await scene.come("second")
    assert (scene.order, scene.slots.held, scene.slots.waiting) == (["first"], 1, 1)
    await first.leave()
    assert (scene.order, scene.slots.held, scene.slots.waiting) == (["first", "second"], 1, 0)
    await second.leave()
    assert scene.slots.held == 0


async def test_more_than_may_wait_are_refused_at_once() -> None:
    scene = Scene(1, 2)
    for name in ("has it", "waits", "waits too"):
        await scene.come(name)
    refused = await scene.come("one more")
    assert isinstance(refused.error, OnDemandFull)
    assert scene.slots.waiting == 2


async def test_all_together_may_not_wait_in_greater_number() -> None:
    scene = Scene(2, 4)
    for principal in (MOUNT, OTHER):
        assert [one.error for one in await scene.crowd(3, principal, "")] == [None] * 3
    refused = await scene.come("one more", Principal("third", "third", has_quota=True))
    assert isinstance(refused.error, OnDemandFull)


@pytest.mark.parametrize(
    ("principal", "slots", "kind"),
    [(ALONE, 2, OnDemandFull), (MOUNT, 1, OnDemandQuotaFull)],
    ids=["of all", "of its quota"],
)
async def test_a_client_waits_so_long_and_no_longer(
    principal: Principal, slots: int, kind: type[ImgserveError]
) -> None:
    scene = Scene(2, 8, patience_s=0.02)
    for number in range(slots):
        await scene.come(f"{number}", principal)
    late = await scene.come("late", principal)
    await asyncio.wait([late.task], timeout=20)
    assert isinstance(late.error, kind)
    assert "and none was finished within 0.02 s" in late.error.sentence()
    assert (scene.slots.waiting, "late" in scene.order) == (0, False)


async def test_the_network_with_the_fewest_pictures_is_next() -> None:
    """One that floods its mount holds up no other, whose requests come later."""
    scene = Scene(8, 80)
    flood = await scene.crowd(12, MOUNT, "a")
    others = await scene.crowd(2, MOUNT, "b")
    assert scene.order == ["a0", "a1", "b0", "b1"], "half of the mount's four are one network's"
    late = await scene.crowd(1, MOUNT, "c")
    await flood[0].leave()
    assert scene.order[4:] == ["c0"]
    await others[0].leave()
    assert scene.order[5:] == ["a2"]
    await late[0].leave()
    assert scene.order[6:] == [], "the flood has its part of the slots"


async def test_a_network_and_a_mount_have_their_part_of_those_that_wait() -> None:
    scene = Scene(8, 16)
    await scene.crowd(2 + 4, MOUNT, "a")
    assert [isinstance(one.error, OnDemandQuotaFull) for one in await scene.crowd(2, MOUNT, "a")] == [True, True]
    assert [one.error for one in await scene.crowd(2 + 4, MOUNT, "b")] == [None] * 6
    (full,) = await scene.crowd(1, MOUNT, "c")
    assert isinstance(full.error, OnDemandQuotaFull), "the mount has 4 slots, and 8 wait"
    (elsewhere,) = await scene.crowd(1, OTHER, "a")
    assert isinstance(elsewhere.error, OnDemandQuotaFull), "a network's part is that of all mounts together"
    assert [one.error for one in await scene.crowd(6, OTHER, "d")] == [None] * 6


async def test_a_host_has_its_part_of_both() -> None:
    """A silent host leaves slots, and places to wait for them, to the sources of others."""
    scene = Scene(4, 4)
    silent, other = source("http://silent.test/1.png"), source("http://other.test/1.png")
    clients = [await scene.come(f"silent{number}", of=silent) for number in range(5)]
    assert scene.order == ["silent0", "silent1"]
    assert [type(one.error) for one in clients] == [type(None)] * 4 + [OnDemandFull]
    await scene.come("other", of=other)
    assert scene.order[2:] == ["other"]


async def test_a_client_that_leaves_while_it_waits_leaves_nothing() -> None:
    scene = Scene(1, 1)
    first, gone = await scene.come("first"), await scene.come("gone")
    gone.task.cancel()
    await turns()
    assert scene.slots.waiting == 0
    next_one = await scene.come("next")
    assert next_one.error is None
    await first.leave()
    assert scene.order == ["first", "next"]


async def test_the_end_waits_for_those_that_have_a_slot_and_refuses_the_others() -> None:
    scene = Scene(2, 4)
    first, second, *waiting = [await scene.come(name) for name in ("first", "second", "third", "fourth")]
    ending = asyncio.create_task(scene.slots.drain())
    await turns()
    waiting.append(await scene.come("late"))
    assert [type(one.error) for one in waiting] == [Draining] * 3
    assert (scene.slots.held, scene.slots.waiting) == (2, 0)
    await first.leave()
    assert not ending.done()
    await second.leave()
    async with asyncio.timeout(20):
        await ending
    assert scene.order == ["first", "second"]
