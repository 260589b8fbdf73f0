"""The texts of a stream over a real queue, to a client that reads or does not: pages, pings, gaps, the limit of lag."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from imgserve.api.v1 import events, streams
from imgserve.api.v1.events import Feed
from imgserve.jobs.event_views import EventQuery
from imgserve.jobs.model import EventType
from imgserve.jobs.protocol import Queue
from imgserve.request.principal import Principal
from tests.support.queues import START, claimed, ended, failed, new_job, output
from tests.support.sqlite import SqliteHouse

NUMBERS = count()
MISSED = 40
ID = re.compile(rb"id: (\d+)")


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    house = SqliteHouse(tmp_path)
    yield await house.open()
    await house.crash()


async def activated(queue: Queue, principal: str, now: float = START) -> None:
    """One event: job.accepted."""
    bare = output(f"http://place.test:80/{next(NUMBERS)}.png", is_bare=True)
    entry = await queue.enqueue(msgspec.structs.replace(new_job(bare), principal=principal), now)
    await queue.activate(entry.number, (), now)


@contextmanager
def fed(queue: Queue, after: int, newest: int, *types: EventType) -> Iterator[Feed]:
    """The feed of ann's events."""
    with queue.watch_events("ann") as watch:
        yield Feed(queue, watch, EventQuery(after, events.PAGE, types, "ann"), newest, types, lambda: START)


class Client:
    """Takes texts until it is told to take no more; then its buffer is full."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.is_cut_off = False
        self.is_reading = asyncio.Event()
        self.is_reading.set()
        self._more = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        return await asyncio.Event().wait() and {}

    async def send(self, message: dict[str, Any]) -> None:
        await self.is_reading.wait()
        self.texts.append(message.get("body", b""))
        self._more.set()

    def be_unwatched(self) -> None:
        pass

    def abort(self) -> None:
        self.is_cut_off = True

    async def until(self, texts: int) -> list[bytes]:
        """So many, behind the head and the text that the stream begins with: an id, or the whole job."""
        while len(self.texts) < 2 + texts:
            await self._more.wait()
            self._more.clear()
        return self.texts[2:]

    async def serve(self, feed: Feed) -> None:
        scope = {"principal": Principal("ann", "ann"), "abort": self.abort, "unwatched": self.be_unwatched}
        await streams.write(feed.texts(), feed.until_behind, asyncio.Event(), scope, self.receive, self.send)


async def test_more_than_a_page_comes_in_order_and_then_what_is_new(queue: Queue) -> None:
    for number in range(events.PAGE + 3):
        await activated(queue, "ann")
        await activated(queue, f"other-{number}")
    client = Client()
    with fed(queue, 0, await queue.newest_event()) as feed:
        serving = asyncio.create_task(client.serve(feed))
        await client.until(events.PAGE + 3)
        await activated(queue, "ann")
        texts = await client.until(events.PAGE + 4)
        serving.cancel()
    numbers = [int(match[1]) for match in map(ID.match, texts) if match]
    assert numbers == [*range(1, 2 * (events.PAGE + 3), 2), 2 * (events.PAGE + 3) + 1]


async def test_a_quiet_stream_is_pinged_and_the_ping_takes_the_client_on(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PING_S", 0.05)
    client = Client()
    with fed(queue, 0, 0) as feed:
        serving = asyncio.create_task(client.serve(feed))
        await activated(queue, "other")
        assert (await client.until(3))[-1] == b": ping\nid: 1\n\n"
        serving.cancel()


async def test_what_is_older_than_a_day_is_a_gap(queue: Queue) -> None:
    for at in (START - 100_000, START - 90_000, START - 10, START):
        await activated(queue, "ann", at)
    client = Client()
    with fed(queue, 1, await queue.newest_event()) as feed:
        serving = asyncio.create_task(client.serve(feed))
        gap, first, second = await client.until(3)
        assert client.texts[1] == b": ping\nid: 1\n\n"
        serving.cancel()
    assert gap.startswith(b'id: 2\nevent: gap\ndata: {"type":"gap","timestamp":"')
    assert [ID.match(text)[1] for text in (first, second)] == [b"3", b"4"]  # type: ignore[index]


@pytest.mark.parametrize("read", [0, 20])
@pytest.mark.parametrize(("missed", "is_cut_off"), [(MISSED, False), (MISSED + 1, True)])
async def test_a_client_that_takes_nothing_may_miss_so_many_events(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, read: int, missed: int, is_cut_off: bool
) -> None:
    """Since it was last up to date."""
    monkeypatch.setattr(events, "MOST_BEHIND", MISSED)
    monkeypatch.setattr(events, "PING_S", 0.05)
    monkeypatch.setattr(streams, "STALLED_S", 0.02)
    client = Client()
    with fed(queue, 0, 0) as feed:
        serving = asyncio.create_task(client.serve(feed))
        await asyncio.gather(*(activated(queue, "ann") for _ in range(read)))
        await client.until(read)
        while not client.texts[-1].startswith(b": ping"):  # it is up to date
            await client.until(len(client.texts))
        client.is_reading.clear()
        await asyncio.gather(*(activated(queue, "ann") for _ in range(missed)))
        done, _ = await asyncio.wait([serving], timeout=20 if is_cut_off else 0.3)
        serving.cancel()
    assert (bool(done), client.is_cut_off) == (is_cut_off, is_cut_off)


async def test_the_stream_of_a_job_that_was_retried_goes_on_behind_its_first_end(queue: Queue) -> None:
    entry = await failed(queue, output(f"http://place.test:80/{next(NUMBERS)}.png", is_bare=True))
    await queue.retry(entry.id, None, 600.0, START)
    job = await queue.job(entry.id)
    client = Client()
    with queue.watch_events(None, entry.id) as watch:
        query = EventQuery(0, events.PAGE, job_id=entry.id)
        newest = await queue.newest_event()
        feed = Feed(queue, watch, query, newest, (), lambda: START, job)
        serving = asyncio.create_task(client.serve(feed))
        await client.until(newest)
        assert not (await asyncio.wait([serving], timeout=0.05))[0]
        await queue.settle(ended(await claimed(queue), "delivered"), START)
        await asyncio.wait_for(serving, 20)
    kinds = [match[1] for match in map(re.compile(rb"id: \d+\nevent: (\S+)").match, client.texts) if match]
    assert kinds[0] == b"job"
    assert kinds[-4:] == [b"job.retrying", b"job.started", b"output.delivered", b"job.succeeded"]
