"""The runner over real parts: it claims, settles, gives back, pays; nothing it breaks off keeps a destination."""

import asyncio
import logging
import time
from collections.abc import Callable

import pytest
from PIL import Image

from imgserve.engine import delivery
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import Intent
from tests.support.plant import Plant, put_to
from tests.support.queues import GRANTED, accepted, claimed
from tests.support.stalling import LONG_S, Receiver

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def until(happened: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + LONG_S
    while not happened():
        assert time.monotonic() < ends_at, "it did not happen"
        await asyncio.sleep(0.01)


async def test_released_jobs_succeed(made: Plant) -> None:
    runner = made.runner()
    runner.start()
    entries = [await made.released(made.file(f"{i}.png")) for i in range(3)]
    await until(lambda: made.house.statuses() == {entry.number: "succeeded" for entry in entries})
    await runner.stop(1.0)
    assert sorted(path.name for path in made.out.iterdir()) == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize(
    ("error", "line"),
    [(ArithmeticError("a bug of ours"), "runner_bug"), (StorageFailing("the disk fails"), "claiming_failed")],
)
async def test_a_bug_or_error_in_the_claiming_ends_it_for_a_moment_only(
    made: Plant, caplog: pytest.LogCaptureFixture, error: Exception, line: str
) -> None:
    calls = 0

    def clock() -> float:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        return time.time()

    runner = made.runner(clock=clock)
    runner.start()
    entry = await made.released(made.file("a.png"))
    await until(lambda: made.house.statuses() == {entry.number: "succeeded"})
    await runner.stop(1.0)
    assert [record.message.split()[0] for record in caplog.records if record.levelno >= logging.WARNING] == [line]


async def test_a_queue_that_fails_for_a_while_is_logged_once(
    made: Plant, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two loops look for work each second, and hours without a database must leave a readable log."""
    monkeypatch.setattr("imgserve.engine.runner.STORAGE_PAUSE_S", 0.01)
    calls = 0

    def clock() -> float:
        nonlocal calls
        calls += 1
        if calls < 9:
            raise StorageFailing("the disk fails")
        return time.time()

    runner = made.runner(clock=clock)
    runner.start()
    entry = await made.released(made.file("a.png"))
    await until(lambda: made.house.statuses() == {entry.number: "succeeded"})
    await runner.stop(1.0)
    lines = [record.message.split()[0] for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines.count("claiming_failed") == 1


async def test_a_failed_job_pays_with_a_failure_picture(made: Plant) -> None:
    made.source.unlink()
    entry = await made.released(made.file("a.png"))
    runner = made.runner()
    runner.start()
    await until((made.out / "a.png").exists)
    await runner.stop(LONG_S)
    assert (await made.queue.counts()).placeholders_left == 0
    assert made.house.statuses() == {entry.number: "failed"}
    with Image.open(made.out / "a.png") as picture:
        assert picture.size == (8, 8)


@pytest.mark.parametrize(("max_outbox", "at_once"), [(1, 1), (8, 2)])
async def test_entries_at_once(made: Plant, receiver: Receiver, max_outbox: int, at_once: int) -> None:
    """To a host that has answered: a new one gets a single entry."""
    made.source.unlink()
    await made.released(put_to(receiver.port, "first.png"))
    runner = made.runner(max_outbox=max_outbox)
    runner.start()
    await receiver.until_came(1)
    await made.until_none_left()
    receiver.stall()
    for name in ("a.png", "b.png"):
        await made.released(put_to(receiver.port, name))
    await receiver.until_came(2)
    await asyncio.sleep(0.3)  # time for one too many
    assert receiver.log[1:] == ["put failed"] * at_once
    receiver.go()
    await receiver.until_came(3)
    await runner.stop(LONG_S)


async def test_room_is_kept_for_those_who_have_little_under_way(made: Plant, receiver: Receiver) -> None:
    """Whoever may not have it costs nothing while it waits, and goes on as soon as one of its own has ended."""
    receiver.stall()
    flood = [await made.released(put_to(receiver.port, f"{i}.png"), principal="flood") for i in range(8)]
    runner = made.runner(max_attempts=4, is_shared=True)
    runner.start()
    await receiver.until_came(3)
    used_s = time.process_time()
    await asyncio.sleep(0.5)  # time for one too many, and to ask again and again
    assert time.process_time() - used_s < 0.03
    assert receiver.log == ["put final"] * 3
    calm = await made.released(made.file("calm.png"), principal="calm")
    await until(lambda: made.house.statuses()[calm.number] == "succeeded")
    receiver.go()
    await until(lambda: all(made.house.statuses()[entry.number] == "succeeded" for entry in flood))
    await runner.stop(1.0)


async def test_no_host_has_all_places(made: Plant, receiver: Receiver) -> None:
    """Not even before it is known to be silent; and what waits for its room goes on as soon as there is some."""
    receiver.stall()
    flood = [await made.released(put_to(receiver.port, f"{i}.png")) for i in range(10)]
    runner = made.runner(max_attempts=4)
    runner.start()
    await receiver.until_came(3)
    used_s = time.process_time()
    await asyncio.sleep(0.3)  # time for one too many, and to ask again and again
    assert time.process_time() - used_s < 0.03
    calm = await made.released(made.file("calm.png"))
    await until(lambda: made.house.statuses()[calm.number] == "succeeded")
    assert receiver.log == ["put final"] * 3
    receiver.go()
    await until(lambda: all(made.house.statuses()[entry.number] == "succeeded" for entry in flood))
    await runner.stop(1.0)


async def test_hosts_known_to_be_slow_never_have_the_others_places(
    made: Plant, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for the moment until their new writes have taken long: together they would have all of them."""
    monkeypatch.setattr(delivery, "SLOW_AFTER_S", 0.05)
    async with Receiver.listening() as other:
        hosts = (receiver, other)
        for host in hosts:
            host.stall()
        runner = made.runner(max_attempts=4)
        runner.start()
        wave = [await made.released(put_to(host.port, name)) for host in hosts for name in ("a.png", "b.png")]
        for host in hosts:
            await host.until_came(2)
        await asyncio.sleep(0.1)
        for host in hosts:
            host.go()
        await until(lambda: all(made.house.statuses()[job.number] == "succeeded" for job in wave))
        monkeypatch.setattr(delivery, "SLOW_AFTER_S", 1000.0)
        for host in hosts:
            host.stall()
            for name in ("c.png", "d.png"):
                await made.released(put_to(host.port, name))
        for host in hosts:
            await host.until_came(4)
        calm = await made.released(made.file("calm.png"))
        await until(lambda: made.house.statuses()[calm.number] == "succeeded")
        await runner.stop(0.0)


async def test_stop_gives_back_what_runs_uncharged(made: Plant, receiver: Receiver) -> None:
    place = put_to(receiver.port, "a.png")
    entry = await made.released(place)
    receiver.stall()
    runner = made.runner()
    runner.start()
    await receiver.until_came(1)
    await runner.stop(0.0)
    assert made.house.statuses() == {entry.number: "queued"}
    again = await claimed(made.queue, time.time())
    assert (again.outputs[0].attempts, again.outputs[0].crashes) == (0, 0)
    assert (
        await made.queue.acquire(
            _final(again.number, again.outputs[0].id, again.token, place.placement.destination.key), time.time()
        )
        == GRANTED
    )


async def test_stop_lets_attempts_finish(made: Plant, receiver: Receiver) -> None:
    entry = await made.released(put_to(receiver.port, "a.png"))
    receiver.stall()
    runner = made.runner()
    runner.start()
    await receiver.until_came(1)
    stopping = asyncio.create_task(runner.stop(LONG_S))
    receiver.go()
    await asyncio.wait_for(stopping, LONG_S)
    assert made.house.statuses() == {entry.number: "succeeded"}


async def test_leases_are_renewed_while_attempts_finish(made: Plant, receiver: Receiver) -> None:
    await made.released(put_to(receiver.port, "a.png"))
    receiver.stall()
    runner = made.runner(heartbeat_s=0.02)
    runner.start()
    await receiver.until_came(1)
    stopping = asyncio.create_task(runner.stop(LONG_S))
    for _ in range(3):  # the first one may have been on its way
        before = made.house.leases()
        await until(lambda before=before: made.house.leases() > before)  # type: ignore[misc]
    receiver.go()
    await asyncio.wait_for(stopping, LONG_S)


async def test_an_attempt_that_takes_too_long_is_tried_again(made: Plant, receiver: Receiver) -> None:
    entry = await made.released(put_to(receiver.port, "a.png"))
    receiver.stall()
    runner = made.runner(attempt_timeout_s=1.0)
    runner.start()
    await receiver.until_came(1)
    await until(lambda: made.house.statuses() == {entry.number: "queued"})
    await runner.stop(1.0)
    assert (await claimed(made.queue, time.time() + 30)).outputs[0].attempts >= 1


async def test_a_lost_lease_ends_the_write(made: Plant, receiver: Receiver) -> None:
    entry = await made.released(put_to(receiver.port, "a.png"))
    receiver.stall()
    runner = made.runner(heartbeat_s=0.05)
    runner.start()
    await receiver.until_came(1)
    fresh = await claimed(made.queue, time.time() + 100)  # somebody with another clock
    await receiver.until_cut_off()
    key = put_to(receiver.port, "a.png").placement.destination.key
    intent = _final(fresh.number, fresh.outputs[0].id, fresh.token, key)
    async with asyncio.timeout(LONG_S):
        while await made.queue.acquire(intent, time.time()) != GRANTED:
            await made.queue.until_free(key, 1.0)
    await runner.stop(1.0)
    assert made.house.statuses() == {entry.number: "running"}


async def test_a_claim_found_lost_leaves_no_place_held(made: Plant, receiver: Receiver) -> None:
    """One output waits for its place when the claim is lost, the other is in its write: both are free in the end."""
    slow, late = put_to(receiver.port, "a.png"), put_to(receiver.port, "b.png")
    blocker = await accepted(made.queue, late, now=time.time())
    await made.queue.acquire(
        Intent(blocker.number, blocker.outputs[0].id, 0, late.placement.destination.key, "placeholder"), time.time()
    )
    receiver.stall()
    await made.released(slow, late)
    runner = made.runner()
    runner.start()
    await receiver.until_came(1)
    fresh = await claimed(made.queue, time.time() + 100)
    await made.queue.refuse(blocker.number, (), "", "", time.time())
    receiver.go()
    for place in fresh.outputs:
        intent = _final(fresh.number, place.id, fresh.token, place.spec.placement.destination.key)
        async with asyncio.timeout(LONG_S):
            while await made.queue.acquire(intent, time.time()) != GRANTED:
                await made.queue.until_free(intent.key, 1.0)
    await runner.stop(1.0)


def _final(number: int, output_id: int, token: int, key: str) -> Intent:
    return Intent(number, output_id, token, key, "final")
