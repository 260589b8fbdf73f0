"""Bodies under their limits, from a client that the test plays chunk by chunk."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from imgserve.api.http.body import Body, BodyCutOff, BodyTooLarge, BodyTooSlow, Incoming, read, stream, until_gone
from imgserve.api.http.inlet import Take
from tests.support.sizes import PATIENCE_S


class TurnedLoop(asyncio.SelectorEventLoop):
    """Its clock is ``turned_s`` ahead."""

    turned_s = 0.0

    def time(self) -> float:
        return super().time() + self.turned_s


class Client:
    """Sends a chunk whenever it is asked to; after the last of ``chunks`` it is silent, or has gone."""

    def __init__(self, *chunks: bytes, is_whole: bool = True, hangs_up: bool = False) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._left = len(chunks)
        self._is_whole = is_whole
        self._hangs_up = hangs_up

    async def receive(self) -> dict[str, Any]:
        if not self._left:
            if not self._hangs_up:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}
        self._left -= 1
        has_more = bool(self._left) or not self._is_whole
        return {"type": "http.request", "body": next(self._chunks), "more_body": has_more}


async def test_a_body_of_the_most_bytes_is_read() -> None:
    assert await read(Client(b"ab", b"", b"cd").receive, Body(4, 5.0)) == b"abcd"
    with pytest.raises(BodyTooLarge, match="longer than 3 bytes"):
        await read(Client(b"ab", b"", b"cd").receive, Body(3, 5.0))


async def test_a_streamed_body_is_handed_on_chunk_by_chunk_and_never_beyond_its_limit() -> None:
    taken: list[bytes] = []
    await stream(Client(b"ab", b"cd").receive, Body(4, 5.0), taken.append)
    assert taken == [b"ab", b"cd"]
    with pytest.raises(BodyTooLarge):
        await stream(Client(b"ab", b"cd").receive, Body(3, 5.0), taken.append)
    assert taken == [b"ab", b"cd", b"ab"]


async def test_a_body_that_breaks_off_is_none() -> None:
    with pytest.raises(BodyCutOff):
        await read(Client(b"ab", is_whole=False, hangs_up=True).receive, Body(9, 5.0))


async def test_a_silent_client_is_not_waited_for() -> None:
    for limits, reason in (
        (Body(9, 0.01), r"not complete after 0\.01 s"),
        (Body(9, 0.01, lowest_bytes=2), r"less than 2 bytes in 0\.01 s"),
        (Body(9, 9.0, lowest_bytes=2, at_most_s=0.01), r"not complete after 0\.01 s"),
    ):
        with pytest.raises(BodyTooSlow, match=reason):
            await read(Client(b"ab", is_whole=False).receive, limits)


async def test_the_servers_own_waits_do_not_count() -> None:
    incoming = Incoming(Client(b"a", b"b", b"c").receive, Body(9, 0.05))
    chunks = []
    while chunk := await incoming.next():
        chunks.append(chunk)
        await asyncio.sleep(0.06)
    assert chunks == [b"a", b"b", b"c"]


async def test_a_client_that_has_gone_is_noticed_behind_its_request() -> None:
    async with asyncio.timeout(PATIENCE_S):
        await until_gone(Client(b"a", b"", hangs_up=True).receive)


@pytest.mark.parametrize(
    ("chunks", "limits", "is_in_time"),
    [
        ([b"ab"], Body(99, 10.0), True),
        ([b"ab"] * 5, Body(99, 10.0), False),
        ([b"ab"] * 5, Body(99, 10.0, lowest_bytes=2), True),
        ([b"a"] * 5, Body(99, 10.0, lowest_bytes=2), False),
        ([b"ab"] * 5, Body(99, 10.0, lowest_bytes=2, at_most_s=31.0), True),
        ([b"ab"] * 5, Body(99, 10.0, lowest_bytes=2, at_most_s=29.0), False),
    ],
)
def test_a_lowest_speed_is_for_each_so_many_bytes(chunks: list[bytes], limits: Body, is_in_time: bool) -> None:
    """A chunk every 6 seconds."""

    async def trickle() -> bytes:
        loop, client = asyncio.get_running_loop(), Client(*chunks)
        assert isinstance(loop, TurnedLoop)

        async def receive() -> dict[str, Any]:
            loop.turned_s += 6.0
            await asyncio.sleep(0.001)  # for the timers that have become due
            return await client.receive()

        return await read(receive, limits)

    async def poured() -> bytes:
        """All but the first and the last chunk come without a turn of the reader."""
        loop, client, taken = asyncio.get_running_loop(), Client(*chunks, b""), list[bytes]()
        assert isinstance(loop, TurnedLoop)

        async def receive() -> dict[str, Any]:
            loop.turned_s += 0.0 if taken else 6.0
            await asyncio.sleep(0.001)
            return await client.receive()

        async def pour(take: Take) -> None:
            for _ in chunks[1:]:
                loop.turned_s += 6.0
                await asyncio.sleep(0.001)
                take(memoryview((await client.receive())["body"]))

        await Incoming(receive, limits, pour).into(lambda piece: taken.append(bytes(piece)))
        return b"".join(taken)

    with asyncio.Runner(loop_factory=TurnedLoop) as runner:
        for one in (trickle, poured):
            if is_in_time:
                assert runner.run(one()) == b"".join(chunks)
            else:
                with pytest.raises(BodyTooSlow):
                    runner.run(one())
