"""libcurl's transfers on the event loop: connections that are kept, dropped, broken off and cancelled."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pycurl
import pytest

from imgserve.transfer.client.call import Call, deadline_in
from imgserve.transfer.client.exchange import Exchange
from imgserve.transfer.client.multi import Multi
from imgserve.transfer.client.watch import Watch
from imgserve.transfer.faults import ExchangeFailed
from imgserve.transfer.guard import Guard
from tests.support.sizes import PATIENCE_S

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Site:
    """Answers GETs. ``hang_up`` ends all connections, without a word; ``is_silent``: it answers nothing."""

    def __init__(self) -> None:
        self.connections = 0
        self.is_silent = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.asked = asyncio.Event()

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            self.hang_up()

    def hang_up(self) -> None:
        while self._writers:
            self._writers.pop().close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked.set()
                if not self.is_silent:
                    writer.write(ANSWER)


@pytest.fixture
async def multi() -> AsyncIterator[Multi]:
    made = Multi(8)
    yield made
    await made.aclose()


def get(url: str) -> tuple[pycurl.Curl, list[bytes]]:
    curl, body = pycurl.Curl(), list[bytes]()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.WRITEFUNCTION, body.append)
    return curl, body


async def test_a_connection_is_used_again(multi: Multi) -> None:
    site = Site()
    async with site.serve() as url:
        for _ in range(5):
            curl, body = get(url)
            await multi.perform(curl)
            assert b"".join(body) == b"ok"
        assert site.connections == 1


async def test_a_kept_connection_that_ends_keeps_nobody_busy(multi: Multi) -> None:
    site = Site()
    async with site.serve() as url:
        await multi.perform(get(url)[0])
        site.hang_up()
        await asyncio.sleep(0.1)
        before = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - before < 0.15, "the event loop runs all the time"
        curl, body = get(url)
        await multi.perform(curl)
        assert (b"".join(body), site.connections) == (b"ok", 2)


async def test_numbers_of_closed_sockets_are_used_again(multi: Multi) -> None:
    """The connections of two sites end in turns, so that each site gets numbers that were the other's."""
    sites = [Site(), Site()]
    async with sites[0].serve() as one, sites[1].serve() as other:
        for turn in range(100):
            handles = [get(url) for url in (one, other, one)]
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(multi.perform(curl) for curl, _ in handles))
            assert [b"".join(body) for _, body in handles] == [b"ok"] * 3
            sites[turn % 2].hang_up()
    assert all(site.connections > 30 for site in sites)


async def test_a_cancelled_handle_is_free_at_once(multi: Multi) -> None:
    site = Site()
    site.is_silent = True
    async with site.serve() as url:
        curl, body = get(url)
        task = asyncio.create_task(multi.perform(curl))
        await site.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        site.is_silent = False
        await multi.perform(curl)
        assert b"".join(body) == b"ok"


async def test_a_transfer_is_broken_off_with_a_reason(multi: Multi) -> None:
    site = Site()
    site.is_silent = True
    async with site.serve() as url:
        curl, _ = get(url)
        task = asyncio.create_task(multi.perform(curl))
        await site.asked.wait()
        multi.end(curl, LookupError("enough"))
        multi.end(curl, LookupError("it has ended already"))
        with pytest.raises(LookupError, match="enough"):
            await task


async def test_libcurls_own_clock_ends_a_transfer(multi: Multi) -> None:
    site = Site()
    site.is_silent = True
    async with site.serve() as url:
        quick, slow = get(url)[0], get(url)[0]
        slow.setopt(pycurl.TIMEOUT_MS, 450)
        quick.setopt(pycurl.TIMEOUT_MS, 50)
        ends: list[str] = []

        async def wait_for(curl: pycurl.Curl, name: str) -> int:
            with pytest.raises(pycurl.error) as raised:
                await multi.perform(curl)
            ends.append(name)
            return int(raised.value.args[0])

        codes = await asyncio.gather(wait_for(slow, "slow"), wait_for(quick, "quick"))
        assert set(codes) == {pycurl.E_OPERATION_TIMEDOUT}
        assert ends == ["quick", "slow"]


async def test_closing_ends_what_runs() -> None:
    site = Site()
    site.is_silent = True
    async with site.serve() as url:
        multi = Multi(8)
        task = asyncio.create_task(multi.perform(get(url)[0]))
        await site.asked.wait()
        await multi.aclose()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_is_asked_after_the_end_is_refused_and_leaves_nothing() -> None:
    site = Site()
    async with site.serve() as url:
        multi = Multi(8)
        await multi.perform(get(url)[0])
        await multi.aclose()
        for _ in range(2):
            with pytest.raises(pycurl.error, match="closed"):
                await multi.perform(get(url)[0])
            await multi.aclose()
        assert site.connections == 1


async def test_a_bug_in_one_look_does_not_end_the_watch(multi: Multi, monkeypatch: pytest.MonkeyPatch) -> None:
    """All exchanges of a client are looked at by one timer."""
    monkeypatch.setattr("imgserve.transfer.client.watch.LOOK_S", 0.02)
    found: list[ExchangeFailed] = []

    def abort(_: pycurl.Curl, reason: ExchangeFailed) -> None:
        found.append(reason)
        if len(found) == 1:
            raise ArithmeticError("a bug of ours")

    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    site = Site()
    async with site.serve() as url:
        curl, _ = get(url)
        await multi.perform(curl)
        # The handle has a connection that this exchange did not open, and no answer: what is looked for.
        exchange = Exchange(curl, Call(method="GET", url=url, deadline_s=deadline_in(1.0)), Guard(), 1.0)
        exchange.patient_until_s = 0.0
        watch = Watch(abort)
        watch.start(exchange)
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < 2:  # noqa: ASYNC110 - the watch tells nobody
                await asyncio.sleep(0.01)
        watch.stop(exchange)
    assert {reason.is_stale for reason in found} == {True}
