"""One suite for every way to fetch, and the guard: hostile URLs never connect, their allowed twins arrive."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from examples.receivers import Behaviour, FtpReceiver, HttpReceiver

from imgserve.blob import Blob
from imgserve.spec.limits import Limits
from imgserve.spec.source import Source
from imgserve.transfer import location
from imgserve.transfer.dispatch import Config, Transfers, Write
from imgserve.transfer.faults import DestinationRefused, SourceRefused, SourceTooLarge, SourceUnavailable
from tests.contract.test_transfer_deliver import destination

PICTURE = bytes(range(256)) * 3000


def source(url: str, path: str = "") -> Source:
    if url.startswith("file:"):
        return Source(url, "file", "", 0, path or url.removeprefix("file://"))
    place = location.origin(url)
    return Source(url, place.scheme, place.host, place.port, location.path(url))  # type: ignore[arg-type]


@pytest.fixture
async def transfers(tmp_path: Path) -> AsyncIterator[Transfers]:
    config = Config(
        allow_networks=("127.0.0.0/8",), read_roots=(str(tmp_path),), write_roots=(str(tmp_path),),
        source_timeout_s=2.0, memory_bytes=2_000_000,
    )  # fmt: skip
    made = Transfers(config, Limits(source_bytes=1_000_000))
    yield made
    await made.aclose()


@pytest.fixture
def http(tmp_path: Path) -> Iterator[HttpReceiver]:
    (tmp_path / "a.jpg").write_bytes(PICTURE)
    with HttpReceiver(tmp_path) as receiver:
        yield receiver


@pytest.fixture(params=["http", "ftp", "file"])
def base(request: pytest.FixtureRequest, http: HttpReceiver, tmp_path: Path) -> Iterator[str]:
    if request.param == "ftp":
        with FtpReceiver(tmp_path) as ftp:
            yield ftp.url
    else:
        yield http.url if request.param == "http" else f"file://{tmp_path}"


async def test_a_source_arrives_whole(base: str, transfers: Transfers) -> None:
    fetch = transfers.open(source(base + "/a.jpg"))
    blob = await fetch.finish()
    assert blob.read() == PICTURE
    assert fetch.is_complete


async def test_memory_is_given_back(base: str, transfers: Transfers) -> None:
    blob = await transfers.open(source(base + "/a.jpg")).finish()
    assert transfers.budget.free_bytes == 2_000_000 - len(PICTURE)
    del blob
    assert transfers.budget.free_bytes == 2_000_000


async def test_fetches_wait_for_memory(base: str, transfers: Transfers) -> None:
    held = [await transfers.open(source(base + "/a.jpg")).finish() for _ in range(2)]
    third = transfers.open(source(base + "/a.jpg"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(third.more(0), 0.3)
    held.clear()
    assert (await third.finish()).read() == PICTURE


async def test_what_is_not_there_is_permanent(base: str, transfers: Transfers) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        await transfers.open(source(base + "/no.jpg")).finish()
    assert not caught.value.is_retryable


async def test_a_source_above_the_limit_is_refused(base: str, transfers: Transfers, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 1_000_001)
    with pytest.raises(SourceTooLarge):
        await transfers.open(source(base + "/big")).finish()
    (tmp_path / "just").write_bytes(b"x" * 1_000_000)
    assert (await transfers.open(source(base + "/just")).finish()).size == 1_000_000
    assert transfers.budget.free_bytes == 2_000_000


@pytest.mark.parametrize(("status", "heals"), [(401, False), (403, False), (410, False), (408, True), (503, True)])
async def test_http_answers(transfers: Transfers, http: HttpReceiver, status: int, heals: bool) -> None:
    http.behave("/a.jpg", Behaviour(status=status, headers={"Retry-After": "3"}))
    with pytest.raises(SourceUnavailable) as caught:
        await transfers.open(source(http.url + "/a.jpg")).finish()
    assert caught.value.is_retryable == heals
    assert caught.value.retry_after_s == 3


async def test_a_silent_server_is_given_up(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/a.jpg", Behaviour(never=True))
    with pytest.raises(SourceUnavailable, match="in time") as caught:
        await transfers.open(source(http.url + "/a.jpg")).finish()
    assert caught.value.is_retryable


async def test_redirects_are_followed_and_loops_end(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/old", Behaviour(status=302, redirect="/a.jpg"))
    assert (await transfers.open(source(http.url + "/old")).finish()).read() == PICTURE
    http.behave("/loop", Behaviour(status=302, redirect="/loop"))
    with pytest.raises(SourceUnavailable):
        await transfers.open(source(http.url + "/loop")).finish()
    http.behave("/file", Behaviour(status=302, redirect=f"file://{http.directory}/a.jpg"))
    http.behave("/ftp", Behaviour(status=302, redirect="ftp://127.0.0.1/a.jpg"))
    for path in ("/file", "/ftp"):
        with pytest.raises(SourceUnavailable):
            await transfers.open(source(http.url + path)).finish()


async def test_connections_are_reused_and_bounded(transfers: Transfers, http: HttpReceiver) -> None:
    for _ in range(5):
        await transfers.open(source(http.url + "/a.jpg")).finish()
    assert http.connections == 1


async def test_a_cancelled_fetch_says_so(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/a.jpg", Behaviour(never=True))
    fetch = transfers.open(source(http.url + "/a.jpg"))
    assert await asyncio.to_thread(http.log.wait_for, lambda events: bool(events))
    fetch.cancel()
    with pytest.raises(SourceUnavailable, match="cancelled"):
        await fetch.finish()


async def test_more_returns_while_the_rest_is_still_under_way(transfers: Transfers) -> None:
    go_on = threading.Event()

    def serve(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"a" * 10)
        go_on.wait(10)
        peer.sendall(b"b" * 10)

    with Listener(serve) as listener:
        fetch = transfers.open(source(f"http://127.0.0.1:{listener.port}/x"))
        await fetch.more(0)
        assert fetch.blob.read() == b"a" * 10
        assert not fetch.is_complete
        go_on.set()
        await fetch.more(10)
        assert (await fetch.finish()).read() == b"a" * 10 + b"b" * 10


async def test_unknown_length_is_counted(transfers: Transfers) -> None:
    def serve(peer: socket.socket) -> None:
        peer.recv(4096)
        with suppress(OSError):
            peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"a" * 3_000_000)

    with Listener(serve) as listener, pytest.raises(SourceTooLarge):
        await transfers.open(source(f"http://127.0.0.1:{listener.port}/x")).finish()


async def test_a_length_that_was_not_known_is_paid_back(transfers: Transfers) -> None:
    def serve(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")

    with Listener(serve) as listener:
        blob = await transfers.open(source(f"http://127.0.0.1:{listener.port}/x")).finish()
    assert blob.read() == b"hello"
    assert transfers.budget.free_bytes == 2_000_000 - 5


async def test_only_regular_files_are_read(transfers: Transfers, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "proc").symlink_to("/proc/self/environ")
    (tmp_path / "out").symlink_to("/etc")
    for name in ("fifo", "device", "proc", "out/passwd", "."):
        with pytest.raises((SourceUnavailable, SourceRefused)):
            await asyncio.wait_for(transfers.open(source(f"file://{tmp_path}/{name}")).finish(), 5)


async def test_the_same_file_by_another_name_is_the_same_place(transfers: Transfers, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c").write_bytes(b"x")
    one = source(f"file://{tmp_path}/a")
    expected = {"a": True, "b": True, "c": False, "not-yet": False}
    for name, same in expected.items():
        place = destination("file", "file:///", f"{tmp_path}/{name}")
        assert await transfers.is_same_place(one, place) == same
    url = "http://example.com/x.png"
    assert await transfers.is_same_place(source(url), destination("put", "http://EXAMPLE.com:80/x.png"))
    assert not await transfers.is_same_place(source(url), destination("put", "http://example.com:81/x.png"))


class Listener:
    """A TCP server on loopback that counts who comes, and treats each as told."""

    def __init__(self, serve: Callable[[socket.socket], None] = lambda peer: None, address: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, 0), family=family)
        self.port = int(self._socket.getsockname()[1])
        self.connections = 0
        self._serve = serve
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._socket.accept()
                self.connections += 1
                with peer:
                    self._serve(peer)


def say_hello(peer: socket.socket) -> None:
    with suppress(OSError):
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")


SPELLINGS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0x7f.0.0.1", "0177.0.0.1", "017700000001",
    "127.0.0.1.", "127.000.000.001", "0", "0.0.0.0", "localhost", "LOCALHOST", "localhost.", "user:pw@127.0.0.1",
    "example.com@127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]", "127.0.0.2",
    "127.255.255.254", "%31%32%37.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
async def test_every_spelling_of_loopback_is_refused_and_its_twin_arrives(host: str) -> None:
    with Listener(say_hello, "0.0.0.0") as listener:  # 127.0.0.2 and 0 must find someone there, were they let through
        url = f"http://{host}:{listener.port}/x"
        closed, opened = (
            Transfers(Config(), Limits()),
            Transfers(Config(allow_networks=("127.0.0.0/8", "0.0.0.0/32", "::1")), Limits()),
        )
        try:
            with pytest.raises(SourceRefused):
                await closed.open(source(url)).finish()
            for kind in ("put", "form"):
                with pytest.raises(DestinationRefused):
                    await closed.deliver(
                        destination(kind, url, name="x"), Blob.of(b"x"), Write("final", "image/png", "o1", 1, 5.0)
                    )
            assert listener.connections == 0
            assert (await opened.open(source(url)).finish()).read() == b"hello"
            assert listener.connections == 1
        finally:
            await closed.aclose()
            await opened.aclose()


REFUSED_LITERALS = [
    "[::1]",
    "10.0.0.1",
    "169.254.169.254",
    "[fe80::1]",
    "[64:ff9b::a00:1]",
    "[2002:a00:1::]",
    "224.0.0.1",
]


@pytest.mark.parametrize("host", REFUSED_LITERALS)
async def test_private_literals_are_refused_by_their_text(host: str) -> None:
    transfers = Transfers(Config(), Limits())
    for scheme in ("http", "ftp"):
        with pytest.raises(SourceRefused):
            transfers.check_source(source(f"{scheme}://{host}/x"))
        with pytest.raises(DestinationRefused):
            transfers.check_destination(destination("put", f"{scheme}://{host}/x"))
    with pytest.raises(SourceRefused, match="Port 25"):
        transfers.check_source(source("http://example.com:25/x"))
    with pytest.raises(SourceRefused, match="off"):
        transfers.check_source(source("file:///etc/passwd"))
    transfers.check_source(source("https://example.com/x"))
    await transfers.aclose()


async def test_a_redirect_to_a_refused_address_is_not_followed(http: HttpReceiver) -> None:
    transfers = Transfers(Config(allow_networks=("127.0.0.1/32",)), Limits())
    with Listener(say_hello, "0.0.0.0") as listener:
        http.behave("/go", Behaviour(status=302, redirect=f"http://127.0.0.2:{listener.port}/x"))
        http.behave("/put", Behaviour(status=307, redirect=f"http://127.0.0.2:{listener.port}/x"))
        with pytest.raises(SourceRefused):
            await transfers.open(source(http.url + "/go")).finish()
        write = Write("final", "image/png", "o1", 1, 5.0)
        with pytest.raises(DestinationRefused):
            await transfers.deliver(destination("put", http.url + "/put"), Blob.of(b"x"), write)
        assert listener.connections == 0
        http.behave("/go", Behaviour(status=302, redirect=f"http://127.0.0.1:{listener.port}/x"))
        assert (await transfers.open(source(http.url + "/go")).finish()).read() == b"hello"
    await transfers.aclose()


@pytest.mark.parametrize("epsv", [b"500 no\r\n", b"229 ok (|||25|)\r\n"])
async def test_an_ftp_server_cannot_send_us_elsewhere(epsv: bytes) -> None:
    with Listener(say_hello, "127.0.0.2") as target:
        high, low = divmod(target.port, 256)
        answers = {
            b"USER": b"331 ok\r\n", b"PASS": b"230 ok\r\n", b"PWD": b'257 "/"\r\n', b"EPSV": epsv,
            b"PASV": f"227 ok (127,0,0,2,{high},{low})\r\n".encode(), b"TYPE": b"200 ok\r\n", b"SIZE": b"213 5\r\n",
        }  # fmt: skip

        def serve(peer: socket.socket) -> None:
            peer.sendall(b"220 hello\r\n")
            with suppress(OSError), peer.makefile("rb") as lines:
                for line in lines:
                    peer.sendall(answers.get(line[:4].strip(), b"200 ok\r\n"))

        transfers = Transfers(Config(allow_networks=("127.0.0.1/32",)), Limits())
        with Listener(serve) as listener:
            with pytest.raises((SourceRefused, SourceUnavailable)):
                await transfers.open(source(f"ftp://127.0.0.1:{listener.port}/x")).finish()
            await transfers.aclose()
        assert listener.connections == 1
        assert target.connections == 0


async def test_a_proxy_from_the_environment_is_not_used(
    http: HttpReceiver, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Listener(say_hello) as proxy:
        for name in ("http_proxy", "all_proxy", "ALL_PROXY", "ftp_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await transfers.open(source(http.url + "/a.jpg")).finish()).read() == PICTURE
        assert proxy.connections == 0


def test_the_configuration_names_its_faults(tmp_path: Path) -> None:
    config = Config(allow_networks=("10.0.0.0/8", "nonsense"), read_roots=(str(tmp_path), "/no/such"))
    assert [problem.partition(":")[0] for problem in config.problems()] == ["allow_networks", "read_roots"]
