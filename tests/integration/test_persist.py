"""What a caller waits for when the queue's disk hangs: thirty seconds, if nothing was sent, and no job is left over."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import Accepted, PlaceholderResult
from imgserve.jobs.persist import PatientStorage
from imgserve.jobs.sqlite.queue import SqliteQueue
from imgserve.transfer.faults import DeliveryFailed
from tests.support.queues import START, hold, new_job
from tests.support.sqlite import SqliteHouse

SOON_S = 0.05


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[SqliteQueue]:
    opened = await SqliteQueue.open(tmp_path, Config(min_free_disk_bytes=0), START)
    yield opened
    await opened.aclose()


@asynccontextmanager
async def hanging(queue: SqliteQueue) -> AsyncIterator[None]:
    """The queue's thread is in the middle of a write that does not return."""
    going_on = threading.Event()
    stuck = asyncio.ensure_future(queue._committer.run(lambda _: going_on.wait()))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        going_on.set()
        await stuck


def storage(queue: SqliteQueue, timeout_s: float = SOON_S) -> PatientStorage:
    return PatientStorage(queue, timeout_s, lambda: START)


async def entered(queue: SqliteQueue) -> Accepted:
    entry = await storage(queue, 60.0).enqueue(new_job())
    assert isinstance(entry, Accepted)
    return entry


async def test_a_job_that_is_stored_too_late_is_taken_back(queue: SqliteQueue, tmp_path: Path) -> None:
    patient = storage(queue)
    async with hanging(queue):
        with pytest.raises(StorageFailing):
            await patient.enqueue(new_job())
        assert SqliteHouse(tmp_path).statuses() == {}
    await queue._committer.run(lambda _: None)  # behind it
    while patient._late:
        await asyncio.wait(patient._late)
    assert SqliteHouse(tmp_path).statuses() == {}
    assert (await entered(queue)).number == 2, "the first was stored, and its destination is free"


async def test_a_placeholder_waits_no_longer(queue: SqliteQueue) -> None:
    async with hanging(queue):
        with pytest.raises(StorageFailing):
            await storage(queue).note_placeholder(b"digest", 10)


async def test_a_refusal_is_told_before_its_row_is_gone(queue: SqliteQueue, tmp_path: Path) -> None:
    entry = await entered(queue)
    patient = storage(queue)
    async with hanging(queue):
        await patient.refuse(entry, (), DeliveryFailed("no such host"))
        assert list(SqliteHouse(tmp_path).statuses().values()) == ["accepting"]
    while patient._late:
        await asyncio.wait(patient._late)
    assert SqliteHouse(tmp_path).statuses() == {}


async def test_a_refusal_that_owes_something_is_stored_first(queue: SqliteQueue, tmp_path: Path) -> None:
    entry = await entered(queue)
    await hold(queue, entry)
    written = (PlaceholderResult(entry.outputs[0].id, "written"),)
    async with hanging(queue):
        refusing = asyncio.ensure_future(storage(queue).refuse(entry, written, DeliveryFailed("no such host")))
        await asyncio.wait([refusing], timeout=3 * SOON_S)
        assert not refusing.done()
    await refusing
    assert list(SqliteHouse(tmp_path).statuses().values()) == ["failed"]
