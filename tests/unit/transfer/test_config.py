"""What the settings of transfers change: each case with its twin on the defaults."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from imgserve.request.limits import Limits
from imgserve.request.source import parse_source
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import SourceRefused, SourceUnavailable
from tests.support.sizes import PATIENCE_S

OPEN = Config(allow_networks=("127.0.0.0/8",))


@contextlib.asynccontextmanager
async def built(config: Config) -> AsyncIterator[Transfers]:
    transfers = Transfers(config, Limits())
    try:
        yield transfers
    finally:
        await transfers.aclose()


class Silent:
    """Counts who connects, and says nothing, or ``drips`` bytes of a body, 500 every 50 ms."""

    def __init__(self, *, drips: bool = False) -> None:
        self.port = 0
        self.connections = 0
        self._drips = drips
        self._came = asyncio.Event()
        self._serving: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Silent"]:
        async with await asyncio.start_server(self._accepted, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self
            for serving in self._serving:
                serving.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def until_came(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._came.wait()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._came.set()
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            if self._drips:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
                while not reader.at_eof():
                    writer.write(bytes(500))
                    await writer.drain()
                    await asyncio.sleep(0.05)
            await reader.read()


@pytest.mark.parametrize(
    ("scheme", "is_one_host", "field"),
    [("http", False, "max_transfers"), ("http", True, "max_per_host"), ("ftp", True, "max_per_host_ftp")],
)
async def test_how_many_at_once(scheme: str, is_one_host: bool, field: str) -> None:
    for limit, expected in ((None, 2), (1, 1)):
        config = OPEN if limit is None else msgspec.structs.replace(OPEN, **{field: limit})
        async with Silent().listening() as one, Silent().listening() as other, built(config) as transfers:
            ports = (one.port, one.port if is_one_host else other.port)
            with contextlib.ExitStack() as held:
                for port in ports:
                    held.enter_context(transfers.open(parse_source(f"{scheme}://127.0.0.1:{port}/a.png")))
                await one.until_came()
                await asyncio.sleep(0.2)  # time for one too many
                assert one.connections + other.connections == expected, (field, limit)


async def test_a_connection_that_does_not_come_is_given_up() -> None:
    config = msgspec.structs.replace(OPEN, connect_timeout_s=0.3)
    with contextlib.ExitStack() as opened:
        full = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        opened.enter_context(socket.create_connection(full.getsockname()))  # it fills the queue of the listener
        async with built(config) as transfers:
            started = time.monotonic()
            source = parse_source(f"http://127.0.0.1:{full.getsockname()[1]}/a.png")
            with transfers.open(source) as fetch, pytest.raises(SourceUnavailable):
                await fetch.more(1)
            assert 0.3 <= time.monotonic() - started < OPEN.connect_timeout_s


async def test_a_slow_source_is_ended() -> None:
    """10,000 bytes a second are enough for the default, and last for longer than the test."""
    config = msgspec.structs.replace(OPEN, low_speed_bytes_s=50_000, low_speed_time_s=1)
    async with Silent(drips=True).listening() as slow, built(config) as transfers:
        started = time.monotonic()
        source = parse_source(f"http://127.0.0.1:{slow.port}/a.png")
        with transfers.open(source) as fetch, pytest.raises(SourceUnavailable):
            await fetch.more(10_000_000)
        assert time.monotonic() - started < OPEN.low_speed_time_s


async def test_ports() -> None:
    source = parse_source("http://127.0.0.1:8080/a.png")
    low = parse_source("http://127.0.0.1:81/a.png")
    async with built(OPEN) as transfers:
        transfers.check_source(source)
        with pytest.raises(SourceRefused, match="Port 81 is not open"):
            transfers.check_source(low)
    async with built(msgspec.structs.replace(OPEN, ports=("81", "9000-9010"))) as transfers:
        transfers.check_source(low)
        with pytest.raises(SourceRefused, match="Port 8080 is not open") as caught:
            transfers.check_source(source)
    assert "81, 9000-9010" in caught.value.hint
