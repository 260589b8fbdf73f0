"""Writes under the lock of their destination: a real queue, real transfers, a receiver that can be made to stall."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from imgserve.blob import Blob
from imgserve.engine.delivery import REMEMBER_S, SLOW_AFTER_S, ClaimLost, Deliveries, Overtaken, Underway
from imgserve.jobs.config import Config as QueueConfig
from imgserve.jobs.model import Accepted, Intent, Output, OutputResult, PlaceholderResult, Settlement
from imgserve.jobs.protocol import Queue
from imgserve.request import tags
from imgserve.request.classic.destination import parse_destination
from imgserve.request.destination import Destination
from imgserve.request.job import ResolvedOutput
from imgserve.request.limits import Limits
from imgserve.request.principal import OPERATOR_ID
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryUnknown, DestinationRefused
from tests.support.queues import GRANTED, accepted, claimed, due_entries, ended, final_of, moved, output
from tests.support.sqlite import SqliteHouse
from tests.support.stalling import LONG_S, Receiver

PATIENCE_S = 0.2


@pytest.fixture
async def transfers(tmp_path: Path) -> AsyncIterator[Transfers]:
    (tmp_path / "out").mkdir()
    opened = Transfers(Config(allow_networks=("127.0.0.0/8",), write_roots=(str(tmp_path / "out"),)), Limits())
    yield opened
    await opened.aclose()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver.listening() as opened:
        yield opened


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[SqliteHouse]:
    opened = SqliteHouse(tmp_path)
    yield opened
    await opened.crash()


@pytest.fixture
async def queue(house: SqliteHouse) -> Queue:
    return await house.open(time.time())


@pytest.fixture
def deliveries(queue: Queue, transfers: Transfers) -> Deliveries:
    return Deliveries(queue, transfers, patience_s=PATIENCE_S)


def put_place(receiver: Receiver) -> Destination:
    return parse_destination(f"http://127.0.0.1:{receiver.port}/a.png", {"method": "PUT"}).fill(tags.EXAMPLE)


def form_place(receiver: Receiver) -> Destination:
    return parse_destination(f"http://127.0.0.1:{receiver.port}/up:a.png", {"field_name": "file"}).fill(tags.EXAMPLE)


def at(place: Destination, *, is_bare: bool = False) -> ResolvedOutput:
    return output(place.key, place.kind, is_bare=is_bare)


def placeholder(entry: Accepted, place: Destination) -> Intent:
    return Intent(entry.number, entry.outputs[0].id, 0, place.key, "placeholder")


async def written(deliveries: Deliveries, intent: Intent, place: Destination) -> None:
    spec = moved(at(place), place)
    written_to = Output(intent.output_id, intent.number, intent.principal, spec)
    with Blob.of(b"picture") as blob:
        await deliveries.write(written_to, intent.kind, intent.token, blob, 3 * LONG_S)


async def stalled_write(
    deliveries: Deliveries, receiver: Receiver, intent: Intent, place: Destination
) -> asyncio.Task[None]:
    """One that has come to the receiver, which does not answer it."""
    receiver.stall()
    stalled = asyncio.create_task(written(deliveries, intent, place))
    await receiver.until_came(1)
    return stalled


async def running_final(queue: Queue, place: Destination) -> Intent:
    """The right to write the final of a job that had no placeholder."""
    entry = await accepted(queue, at(place, is_bare=True), now=time.time())
    await queue.activate(entry.number, (), time.time())
    return final_of(await claimed(queue, time.time()))


async def test_a_write_reaches_its_destination(queue: Queue, deliveries: Deliveries, receiver: Receiver) -> None:
    place = put_place(receiver)
    entry = await accepted(queue, at(place), now=time.time())
    await written(deliveries, placeholder(entry, place), place)
    assert receiver.log == ["put placeholder"]


async def test_the_lock_is_held_until_the_report(queue: Queue, deliveries: Deliveries, receiver: Receiver) -> None:
    place = put_place(receiver)
    first, second = [await accepted(queue, at(place), now=time.time()) for _ in range(2)]
    await written(deliveries, placeholder(first, place), place)
    waiting = asyncio.create_task(written(deliveries, placeholder(second, place), place))
    await asyncio.wait([waiting], timeout=3 * PATIENCE_S)
    assert not waiting.done()
    assert receiver.log == ["put placeholder"]
    await queue.activate(first.number, (PlaceholderResult(first.outputs[0].id, "written"),), time.time())
    await asyncio.wait_for(waiting, LONG_S)
    assert receiver.log == ["put placeholder"] * 2


async def test_a_newcomer_breaks_off_an_older_write_that_stalls(
    queue: Queue, deliveries: Deliveries, receiver: Receiver
) -> None:
    place = put_place(receiver)
    older = await running_final(queue, place)
    stalled = await stalled_write(deliveries, receiver, older, place)
    newer = await accepted(queue, at(place), now=time.time())
    started = time.monotonic()
    newcomer = asyncio.create_task(written(deliveries, placeholder(newer, place), place))
    with pytest.raises(DeliveryUnknown):
        await asyncio.wait_for(stalled, LONG_S)
    assert time.monotonic() - started >= PATIENCE_S * 0.9
    await receiver.until_cut_off()
    assert receiver.log == ["put final"]  # nobody writes before the broken-off one has reported
    receiver.go()
    await report_retry(queue, older)
    await asyncio.wait_for(newcomer, LONG_S)
    assert receiver.log == ["put final", "put placeholder"]


@pytest.mark.parametrize(("newcomer", "is_broken_off"), [("ann", True), (OPERATOR_ID, True), ("bob", False)])
async def test_another_principals_write_is_waited_for(
    queue: Queue, deliveries: Deliveries, receiver: Receiver, newcomer: str, is_broken_off: bool
) -> None:
    place = put_place(receiver)
    older = msgspec.structs.replace(await running_final(queue, place), principal="ann")
    stalled = await stalled_write(deliveries, receiver, older, place)
    newer = await accepted(queue, at(place), now=time.time())
    waiting = asyncio.create_task(
        written(deliveries, msgspec.structs.replace(placeholder(newer, place), principal=newcomer), place)
    )
    await asyncio.wait([stalled], timeout=LONG_S if is_broken_off else 4 * PATIENCE_S)
    assert stalled.done() == is_broken_off
    receiver.go()
    await asyncio.wait([stalled], timeout=LONG_S)
    assert isinstance(stalled.exception(), DeliveryUnknown) == is_broken_off
    await report_retry(queue, older)
    await asyncio.wait_for(waiting, LONG_S)
    assert receiver.log == ["put final", "put placeholder"]


async def report_retry(queue: Queue, intent: Intent) -> None:
    now = time.time()
    done = Settlement(intent.number, intent.token, (OutputResult(intent.output_id, "retry", due_at=now),))
    assert await queue.settle(done, now)


async def test_an_older_job_waits_for_a_newer_ones_write_however_long(
    queue: Queue, deliveries: Deliveries, receiver: Receiver
) -> None:
    place = put_place(receiver)
    older = await running_final(queue, place)
    newer = await accepted(queue, at(place), now=time.time())
    stalled = await stalled_write(deliveries, receiver, placeholder(newer, place), place)
    waiting = asyncio.create_task(written(deliveries, older, place))
    await asyncio.wait([stalled, waiting], timeout=4 * PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
    assert not stalled.done()
    assert not waiting.done()
    receiver.go()
    await asyncio.wait_for(stalled, LONG_S)
    await queue.activate(newer.number, (PlaceholderResult(newer.outputs[0].id, "written"),), time.time())
    with pytest.raises(Overtaken):
        await asyncio.wait_for(waiting, LONG_S)
    assert receiver.log == ["put placeholder"]


async def test_the_next_claim_breaks_off_the_write_of_the_lost_one(
    queue: Queue, deliveries: Deliveries, receiver: Receiver
) -> None:
    place = put_place(receiver)
    stale = await running_final(queue, place)
    stalled = await stalled_write(deliveries, receiver, stale, place)
    later = time.time() + 61  # its lease has ended
    again = final_of(await claimed(queue, later))
    waiting = asyncio.create_task(written(deliveries, again, place))
    with pytest.raises(DeliveryUnknown):
        await asyncio.wait_for(stalled, LONG_S)
    receiver.go()
    await queue.settle(Settlement(stale.number, stale.token, ()), later)
    await asyncio.wait_for(waiting, LONG_S)
    assert receiver.log == ["put final", "put final"]


async def test_forms_are_waited_for_and_never_broken_off(
    queue: Queue, deliveries: Deliveries, receiver: Receiver
) -> None:
    place = form_place(receiver)
    older = await running_final(queue, place)
    stalled = await stalled_write(deliveries, receiver, older, place)
    newer = await accepted(queue, at(place), now=time.time())
    waiting = asyncio.create_task(written(deliveries, placeholder(newer, place), place))
    await asyncio.wait([stalled, waiting], timeout=4 * PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
    assert not stalled.done()
    assert not waiting.done()
    receiver.go()
    await asyncio.wait_for(stalled, LONG_S)
    await report_retry(queue, older)
    await asyncio.wait_for(waiting, LONG_S)
    assert receiver.cut_off == 0
    assert len(receiver.log) == 2


async def test_an_overtaken_write_does_not_begin(queue: Queue, deliveries: Deliveries, receiver: Receiver) -> None:
    place = put_place(receiver)
    older = await running_final(queue, place)
    newer = await accepted(queue, at(place), now=time.time())
    await written(deliveries, placeholder(newer, place), place)
    await queue.activate(newer.number, (PlaceholderResult(newer.outputs[0].id, "written"),), time.time())
    with pytest.raises(Overtaken):
        await written(deliveries, older, place)
    assert receiver.log == ["put placeholder"]


async def test_a_lost_claim_does_not_begin(queue: Queue, deliveries: Deliveries, receiver: Receiver) -> None:
    place = put_place(receiver)
    stale = await running_final(queue, place)
    await claimed(queue, time.time() + 61)
    with pytest.raises(ClaimLost):
        await written(deliveries, stale, place)
    assert receiver.log == []


async def test_an_expired_lease_does_not_begin(queue: Queue, transfers: Transfers, receiver: Receiver) -> None:
    """The clock of a process that was stopped and goes on."""
    place = put_place(receiver)
    stale = await running_final(queue, place)
    deliveries = Deliveries(queue, transfers, clock=lambda: time.time() + 61)
    with pytest.raises(ClaimLost):
        await written(deliveries, stale, place)
    assert receiver.log == []


async def test_a_dead_servers_destination_is_left_alone(
    house: SqliteHouse, transfers: Transfers, receiver: Receiver
) -> None:
    place = put_place(receiver)
    config = QueueConfig(quiet_s=0.5, min_free_disk_bytes=0)
    queue = await house.open(time.time(), config)
    assert await queue.acquire(await running_final(queue, place), time.time()) == GRANTED
    taken_over_at = time.time()
    queue = await house.open(taken_over_at, config)
    again = final_of(await claimed(queue, time.time()))
    await written(Deliveries(queue, transfers, patience_s=0.0), again, place)
    assert time.time() >= taken_over_at + 0.5
    assert receiver.log == ["put final"]


async def test_a_cancelled_write_ends_its_transfer(queue: Queue, deliveries: Deliveries, receiver: Receiver) -> None:
    place = put_place(receiver)
    intent = await running_final(queue, place)
    stalled = await stalled_write(deliveries, receiver, intent, place)
    stalled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(stalled, LONG_S)
    await receiver.until_cut_off()
    assert await queue.acquire(intent, time.time()) == GRANTED  # still held until the settlement


async def test_a_transfers_fault_comes_through(queue: Queue, deliveries: Deliveries) -> None:
    place = parse_destination("http://127.0.0.1:1/a.png", {"method": "PUT"}).fill(tags.EXAMPLE)
    with pytest.raises(DestinationRefused):  # port 1 is not one of those that are open
        await written(deliveries, await running_final(queue, place), place)


async def test_write_and_delete_a_file(
    queue: Queue, deliveries: Deliveries, transfers: Transfers, tmp_path: Path
) -> None:
    target = tmp_path / "out" / "a.png"
    place = parse_destination(f"file://{target}", {}).fill(tags.EXAMPLE)
    entry = await accepted(queue, at(place), now=time.time())
    await written(deliveries, placeholder(entry, place), place)
    assert target.read_bytes() == b"picture"
    await queue.activate(entry.number, (PlaceholderResult(entry.outputs[0].id, "written"),), time.time())
    claim = await claimed(queue, time.time())
    await queue.settle(ended(claim, "failed"), time.time())
    owed = (await due_entries(queue, time.time()))[0]
    spec = moved(owed.output.spec, place)
    await deliveries.delete(msgspec.structs.replace(owed.output, spec=spec), owed.token, 3 * LONG_S)
    assert not target.exists()


def test_a_host_is_silent_until_a_write_to_it_is_quick() -> None:
    now = 0.0
    under_way = Underway(lambda: now)
    with under_way.to("slow"), under_way.to("quick"):
        now = SLOW_AFTER_S
        assert not under_way.slow()
        assert not under_way.silent()
        now += 1
        assert under_way.slow() == {"slow": 1, "quick": 1}
    assert not under_way.slow()
    assert under_way.silent() == {"slow", "quick"}
    with under_way.to("quick"), under_way.to("new"):
        assert under_way.expected_slow() == {"quick": 1}, "from its start"
        now += 1
        assert under_way.silent() == {"slow", "quick"}, "it is not over yet"
    assert under_way.silent() == {"slow"}
    now += REMEMBER_S
    assert under_way.silent() == frozenset(), "it may be well by now"
