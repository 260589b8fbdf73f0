"""Downloads whose blob is made when it is needed."""

import asyncio
import os
import resource
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import pytest

from imgserve.blob import Blob
from imgserve.limiter import Limiter
from imgserve.transfer.faults import SourceTooLarge, SourceUnavailable
from imgserve.transfer.fetch import SMALL_BYTES, Fetch

LIMIT_BYTES = 1 << 20
PIECE_BYTES = 16_384


def blobs() -> int:
    """Those that this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("/memfd:imgserve")
    return count


def sending(data: bytes) -> Callable[[Fetch], Awaitable[None]]:
    async def transfer(into: Fetch) -> None:
        await into.reserve(len(data))
        for begin in range(0, len(data), PIECE_BYTES):
            into.write(data[begin : begin + PIECE_BYTES])

    return transfer


async def received(fetch: Fetch, data: bytes) -> None:
    fetch.start(sending(data))
    await fetch.more(LIMIT_BYTES)


@pytest.mark.parametrize("size_bytes", [0, 1, PIECE_BYTES + 1, SMALL_BYTES])
async def test_a_small_source_is_read_without_a_blob(size_bytes: int) -> None:
    data, budget, before = os.urandom(size_bytes), Limiter(LIMIT_BYTES), blobs()
    with Fetch(budget, LIMIT_BYTES) as fetch:
        await received(fetch, data)
        assert fetch.content == data
        assert (fetch.size_bytes, fetch.reserved_bytes) == (size_bytes, size_bytes)
        assert blobs() == before
    assert budget.held == 0


async def test_a_source_may_come_in_tiny_pieces() -> None:
    data = os.urandom(LIMIT_BYTES // 2)

    async def transfer(into: Fetch) -> None:
        await into.reserve(len(data))
        for begin in range(0, len(data), 20):
            into.write(data[begin : begin + 20])

    with Fetch(Limiter(LIMIT_BYTES), LIMIT_BYTES) as fetch:
        fetch.start(transfer)
        assert (await fetch.finish()).read() == data


@pytest.mark.parametrize("piece_bytes", [100, PIECE_BYTES, 3 * SMALL_BYTES])
async def test_memory_that_is_used_again_is_read_before(piece_bytes: int) -> None:
    data, memory = os.urandom(7 * piece_bytes), bytearray(piece_bytes)

    async def transfer(into: Fetch) -> None:
        await into.reserve(len(data))
        into.write(data[:piece_bytes])
        for begin in range(piece_bytes, len(data), piece_bytes):
            memory[:] = data[begin : begin + piece_bytes]
            into.write(memoryview(memory))

    with Fetch(Limiter(LIMIT_BYTES), LIMIT_BYTES) as fetch:
        fetch.start(transfer)
        assert (await fetch.finish()).read() == data


async def test_memory_that_is_used_again_is_not_kept_after_an_error() -> None:
    memory = bytearray(LIMIT_BYTES + 1)
    with Fetch(Limiter(LIMIT_BYTES), LIMIT_BYTES) as fetch:
        await fetch.reserve(None)
        with pytest.raises(SourceTooLarge):
            fetch.write(memoryview(memory))
        memory[:] = b"x" * len(memory)
        assert fetch.blob.read() == fetch.blob.read().strip(b"x")


@pytest.mark.parametrize("size_bytes", [0, 1, SMALL_BYTES, SMALL_BYTES + 1, LIMIT_BYTES])
async def test_a_source_that_has_come_is_taken_at_once(size_bytes: int) -> None:
    data, budget, before = os.urandom(size_bytes), Limiter(2 * LIMIT_BYTES), blobs()
    with Fetch(budget, LIMIT_BYTES) as fetch:
        assert fetch.take(data)
        assert (fetch.is_complete, fetch.size_bytes, fetch.reserved_bytes) == (True, size_bytes, size_bytes)
        assert (fetch.content == data) is (size_bytes <= SMALL_BYTES)
        await fetch.more(size_bytes)
        assert (await fetch.finish()).read() == data
    assert (budget.held, blobs()) == (0, before)


async def test_one_that_is_too_large_or_has_no_room_is_not_taken() -> None:
    budget = Limiter(2 * LIMIT_BYTES)
    with Fetch(budget, LIMIT_BYTES) as fetch, pytest.raises(SourceTooLarge):
        fetch.take(bytes(LIMIT_BYTES + 1))
    assert budget.held == 0
    assert budget.take(weight=LIMIT_BYTES)
    with Fetch(budget, LIMIT_BYTES) as fetch:
        assert not fetch.take(b"a")
        await received(fetch, b"ab")
        assert (await fetch.finish()).read() == b"ab"
    assert budget.held == LIMIT_BYTES


async def test_it_gets_a_blob_when_that_is_asked_for() -> None:
    data, budget, before = os.urandom(SMALL_BYTES), Limiter(LIMIT_BYTES), blobs()
    with Fetch(budget, LIMIT_BYTES) as fetch:
        await received(fetch, data)
        assert fetch.blob.read() == data
        assert fetch.content == fetch.blob == await fetch.finish()
        assert blobs() == before + 1
        shared = fetch.blob.share()
    assert budget.held == SMALL_BYTES, "the other handle keeps the memory"
    shared.close()
    assert (budget.held, blobs()) == (0, before)


async def test_a_larger_source_has_one_while_it_comes() -> None:
    data, before = os.urandom(SMALL_BYTES + 1), blobs()
    with Fetch(Limiter(LIMIT_BYTES), LIMIT_BYTES) as fetch:
        await received(fetch, data)
        assert isinstance(fetch.content, Blob)
        assert fetch.content.read() == data
        assert blobs() == before + 1
    assert blobs() == before


async def test_a_small_source_that_fails_keeps_no_memory() -> None:
    budget = Limiter(LIMIT_BYTES)

    async def transfer(into: Fetch) -> None:
        await into.reserve(PIECE_BYTES)
        into.write(bytes(100))
        raise SourceUnavailable("it broke")

    with Fetch(budget, LIMIT_BYTES) as fetch:
        fetch.start(transfer)
        with pytest.raises(SourceUnavailable):
            await fetch.finish()
        assert budget.held == 0
        assert fetch.content == b""


async def test_a_closed_download_makes_no_blob() -> None:
    before = blobs()
    fetch = Fetch(Limiter(LIMIT_BYTES), LIMIT_BYTES)
    await received(fetch, b"picture")
    fetch.close()
    with pytest.raises(ValueError, match="closed"):
        _ = fetch.blob
    assert blobs() == before


@pytest.fixture
def no_memory() -> Iterator[None]:
    """A memfd obeys this limit too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PIECE_BYTES // 2, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("no_memory")
async def test_a_blob_that_lacks_bytes_is_no_source() -> None:
    """However often it is asked for."""
    before, budget = blobs(), Limiter(LIMIT_BYTES)
    with Fetch(budget, LIMIT_BYTES) as fetch:
        await received(fetch, os.urandom(PIECE_BYTES))
        for _ in range(2):
            with pytest.raises(SourceUnavailable, match="memory"):
                await fetch.finish()
            assert blobs() == before
    assert budget.held == 0


async def test_a_source_in_tiny_pieces_takes_no_more_than_its_size() -> None:
    async def transfer(into: Fetch) -> None:
        await into.reserve(SMALL_BYTES)
        for _ in range(SMALL_BYTES // 2):
            into.write(os.urandom(2))

    tracemalloc.start()
    try:
        with Fetch(Limiter(LIMIT_BYTES), LIMIT_BYTES) as fetch:
            fetch.start(transfer)
            await fetch.more(LIMIT_BYTES)
            assert tracemalloc.get_traced_memory()[0] < 2 * SMALL_BYTES
            assert fetch.size_bytes == SMALL_BYTES
    finally:
        tracemalloc.stop()


async def test_a_download_that_is_closed_as_it_ends_was_cancelled() -> None:
    """Its reader has waited for the end, and runs only after the close."""
    with Fetch(Limiter(LIMIT_BYTES), LIMIT_BYTES) as fetch:

        async def transfer(into: Fetch) -> None:
            await into.reserve(1)
            into.write(b"x")
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(fetch.close)

        fetch.start(transfer)
        with pytest.raises(SourceUnavailable, match="cancelled"):
            await fetch.finish()
