"""Streams of events: how many there may be, and how one ends: by its texts, its client, its server, or by stalling."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import pytest

from imgserve.api.v1 import streams
from imgserve.api.v1.streams import StreamQuotaFull, Streams, StreamsFull
from imgserve.engine.intake import Draining
from imgserve.jobs.faults import StorageFailing
from imgserve.request.principal import Principal

ONE, OTHER = Principal("one", "one"), Principal("other", "other")


async def never() -> None:
    await asyncio.Event().wait()


class Client:
    """Reads until ``is_reading`` is cleared, as a socket whose buffer is full; ``hang_up`` closes the connection."""

    def __init__(self) -> None:
        self.text = b""
        self.status = 0
        self.has_end = self.is_cut_off = False
        self.is_reading = asyncio.Event()
        self.is_reading.set()
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._messages.put_nowait({"type": "http.request"})

    def hang_up(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> dict[str, Any]:
        return await self._messages.get()

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        await self.is_reading.wait()
        self.text += message.get("body", b"")
        self.has_end = not message.get("more_body", False)

    def be_unwatched(self) -> None:
        pass

    def abort(self) -> None:
        self.is_cut_off = True


async def written(
    client: Client, texts: AsyncIterator[bytes], over: asyncio.Event | None = None, *, is_behind: bool = False
) -> None:
    async def until_behind() -> None:
        if not is_behind:
            await never()

    scope = {"principal": ONE, "abort": client.abort, "unwatched": client.be_unwatched}
    await streams.write(texts, until_behind, over or asyncio.Event(), scope, client.receive, client.send)


async def counted(last: int, then_wait: bool = True) -> AsyncIterator[bytes]:
    for number in range(last):
        yield b"%d." % number
    if then_wait:
        await never()


async def test_a_stream_ends_behind_its_last_text() -> None:
    client = Client()
    await written(client, counted(3, then_wait=False))
    assert (client.status, client.text, client.has_end, client.is_cut_off) == (200, b"0.1.2.", True, False)


async def test_a_client_that_hangs_up_ends_its_stream() -> None:
    client = Client()
    writing = asyncio.create_task(written(client, counted(2)))
    await asyncio.sleep(0.01)
    assert not writing.done()
    client.hang_up()
    await writing
    assert (client.text, client.has_end) == (b"0.1.", False)


async def test_a_stream_ends_in_order_when_the_server_wants_it() -> None:
    client, over = Client(), asyncio.Event()
    writing = asyncio.create_task(written(client, counted(2), over))
    await asyncio.sleep(0.01)
    over.set()
    await writing
    assert (client.text, client.has_end, client.is_cut_off) == (b"0.1.", True, False)


async def test_a_client_that_takes_nothing_and_is_far_behind_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALLED_S", 0.01)
    client = Client()
    client.is_reading.clear()
    await written(client, counted(2), is_behind=True)
    assert (client.text, client.has_end, client.is_cut_off) == (b"", False, True)


async def test_a_slow_client_that_is_not_behind_gets_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALLED_S", 0.01)
    client = Client()
    client.is_reading.clear()
    writing = asyncio.create_task(written(client, counted(2, then_wait=False)))
    await asyncio.sleep(0.05)
    client.is_reading.set()
    await writing
    assert (client.text, client.has_end) == (b"0.1.", True)


async def test_a_client_that_does_not_take_the_end_either_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "END_S", 0.01)
    client, over = Client(), asyncio.Event()
    client.is_reading.clear()
    over.set()
    await written(client, counted(2), over)
    assert (client.has_end, client.is_cut_off) == (False, True)


async def test_a_disk_that_fails_ends_a_stream_and_a_bug_is_not_swallowed() -> None:
    async def failing(error: Exception) -> AsyncIterator[bytes]:
        yield b"0."
        raise error

    client = Client()
    await written(client, failing(StorageFailing("the disk")))
    assert (client.text, client.has_end) == (b"0.", True)
    with pytest.raises(ZeroDivisionError):
        await written(Client(), failing(ZeroDivisionError()))


async def test_the_places_of_one_and_of_all() -> None:
    streams, held = Streams(most=3, most_of_one=2), ExitStack()
    with held:
        for _ in range(2):
            held.enter_context(streams.place(ONE))
        with pytest.raises(StreamQuotaFull), streams.place(ONE):
            pass
        held.enter_context(streams.place(OTHER))
        with pytest.raises(StreamsFull), streams.place(OTHER):
            pass
    with streams.place(ONE):
        pass


async def test_keys_that_are_read_again_end_what_is_open_and_a_drain_all_that_comes() -> None:
    streams = Streams()
    with streams.place(ONE) as first:
        streams.restart()
        assert first.is_set()
        with streams.place(ONE) as second:
            assert not second.is_set()
            streams.end()
            assert second.is_set()
    streams.restart()
    with pytest.raises(Draining), streams.place(ONE):
        pass
