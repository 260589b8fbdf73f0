"""One suite for every way to fetch: HTTP, FTP(S), local file, bucket. Real servers."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from examples.ftp_receiver import FtpReceiver
from examples.receivers import Behaviour, HttpReceiver

from imgserve.request.limits import Limits
from imgserve.request.url import parse
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import (
    SourceRefused,
    SourceTooLarge,
    SourceUnavailable,
)
from imgserve.transfer.memory import Reservation
from imgserve.transfer.version import UNKNOWN
from tests.support.buckets import ObjectStore
from tests.support.certificates import Authority
from tests.support.sizes import PATIENCE_S
from tests.support.transfers import LOOPBACK, Listener, destination, fetch_bytes, source
from tests.support.vsftpd import Tls, Vsftpd

PICTURE = bytes(range(256)) * 3000
TLS: dict[str, Tls] = {"ftpes": "explicit", "ftps": "implicit"}


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with ObjectStore() as started:
        yield started


@pytest.fixture
async def transfers(tmp_path: Path, authority: Authority, store: ObjectStore) -> AsyncIterator[Transfers]:
    config = Config(
        allow_networks=("127.0.0.0/8",), read_roots=(str(tmp_path),), write_roots=(str(tmp_path),),
        source_timeout_s=2.0, memory_bytes=2_000_000, ca_file=str(authority.ca_file),
    )  # fmt: skip
    made = Transfers(config, Limits(source_bytes=1_000_000), credentials=store.credentials)
    yield made
    await made.aclose()


@pytest.fixture
def http(tmp_path: Path) -> Iterator[HttpReceiver]:
    (tmp_path / "a.jpg").write_bytes(PICTURE)
    with HttpReceiver(tmp_path) as receiver:
        yield receiver


@pytest.fixture
def serve(
    http: HttpReceiver,
    authority: Authority,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    store: ObjectStore,
) -> Iterator[Callable[[str], str]]:
    """Starts what serves the pictures by a scheme; returns the URL of their directory."""
    with ExitStack() as running:

        def started(scheme: str) -> str:
            if scheme in TLS:
                work, pem = tmp_path_factory.mktemp("vsftpd"), authority.server_file("127.0.0.1")
                return running.enter_context(Vsftpd(tmp_path, work, tls=TLS[scheme], certificate=pem)).url
            if scheme == "ftp":
                return running.enter_context(FtpReceiver(tmp_path)).url
            if scheme == "s3":
                store.put("a.jpg", PICTURE)
                return store.url
            return http.url if scheme == "http" else f"file://{tmp_path}"

        yield started


@pytest.fixture(params=["http", "ftp", "ftpes", "ftps", "file", "s3"])
def base(request: pytest.FixtureRequest, serve: Callable[[str], str]) -> str:
    return serve(str(request.param))


async def test_a_source_arrives_whole(base: str, transfers: Transfers) -> None:
    with transfers.open(source(base + "/a.jpg")) as fetch, await fetch.finish() as blob:
        assert blob.read() == PICTURE
        assert fetch.is_complete


async def test_a_source_that_is_unchanged_is_not_read_again(
    base: str, transfers: Transfers, tmp_path: Path, store: ObjectStore
) -> None:
    place = source(base + "/a.jpg")
    with transfers.open(place) as first:
        await first.finish()
    if base.startswith("ftp"):  # no command of FTP tells a file's state for sure
        assert not first.version.is_known
        return
    with transfers.open(place, held=first.version) as second, await second.finish() as blob:
        assert (second.is_unchanged, second.version, blob.size) == (True, first.version, 0)
    changed = PICTURE[::-1]
    (tmp_path / "a.jpg").write_bytes(changed)
    store.put("a.jpg", changed)
    with transfers.open(place, held=first.version) as third, await third.finish() as blob:
        assert (third.is_unchanged, blob.read()) == (False, changed)
        assert third.version not in (first.version, UNKNOWN)


async def test_a_version_holds_nothing_that_could_end_a_header_line(http: HttpReceiver, transfers: Transfers) -> None:
    http.behave("/a.jpg", Behaviour(headers={"ETag": '"\xe9"', "Last-Modified": "x" * 300, "Expires": "0"}))
    with transfers.open(source(http.url + "/a.jpg")) as fetch:
        await fetch.finish()
    assert (fetch.version.modified, fetch.version.expires) == ("", "0")
    assert all(line.isascii() for line in fetch.version.conditions())


async def test_memory_is_given_back(base: str, transfers: Transfers) -> None:
    with transfers.open(source(base + "/a.jpg")) as fetch, (await fetch.finish()).share() as blob:
        fetch.close()
        assert blob.size == transfers.budget.held == len(PICTURE)
    assert transfers.budget.held == 0


async def test_fetches_wait_for_memory(base: str, transfers: Transfers) -> None:
    url = base + "/a.jpg"
    with transfers.open(source(url)) as first, transfers.open(source(url)) as second:
        await first.more(first.limit_bytes)
        await second.more(second.limit_bytes)
        third = transfers.open(source(url))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(third.more(0), 0.3)
    with third, await third.finish() as blob:
        assert blob.read() == PICTURE


async def test_waiting_for_memory_is_not_counted(
    serve: Callable[[str], str], tmp_path: Path, authority: Authority, store: ObjectStore
) -> None:
    config = Config(
        allow_networks=LOOPBACK, read_roots=(str(tmp_path),), source_timeout_s=1.5, memory_bytes=len(PICTURE),
        ca_file=str(authority.ca_file),
    )  # fmt: skip

    async def fetched_late(base: str) -> bytes:
        transfers = Transfers(config, Limits(source_bytes=len(PICTURE)), credentials=store.credentials)
        holder = Reservation(transfers.budget)
        await holder.take(len(PICTURE))
        with transfers.open(source(base + "/a.jpg")) as fetch:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(fetch.more(0), 2.2)
            holder.release()
            with await fetch.finish() as blob:
                picture = blob.read()
        await transfers.aclose()
        return picture

    schemes = ("http", "ftp", "ftpes", "file", "s3")
    pictures = await asyncio.gather(*(fetched_late(serve(scheme)) for scheme in schemes))
    assert {scheme: picture == PICTURE for scheme, picture in zip(schemes, pictures, strict=True)} == dict.fromkeys(
        schemes, True
    )


async def test_a_file_that_is_written_into_while_it_is_read_has_no_version(tmp_path: Path) -> None:
    """Its bytes may be of neither state, so neither one's validator may stand for them."""
    (tmp_path / "a.jpg").write_bytes(PICTURE)
    transfers = Transfers(Config(read_roots=(str(tmp_path),), memory_bytes=len(PICTURE)), Limits())
    holder = Reservation(transfers.budget)
    await holder.take(len(PICTURE))
    try:
        with transfers.open(source(f"file://{tmp_path}/a.jpg")) as fetch:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(fetch.more(0), 1.0)
            assert fetch.version.is_known, "it is open, and waits for memory"
            (tmp_path / "a.jpg").write_bytes(PICTURE[::-1])
            holder.release()
            with await fetch.finish() as blob:
                assert (blob.read(), fetch.version) == (PICTURE[::-1], UNKNOWN)
    finally:
        await transfers.aclose()


async def test_after_the_wait_for_memory_the_clock_goes_on(tmp_path: Path) -> None:
    def answer(peer: socket.socket) -> None:
        peer.recv(4096)
        with suppress(OSError):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"a" * 10)
            peer.recv(1)

    transfers = Transfers(Config(allow_networks=LOOPBACK, source_timeout_s=1.5, memory_bytes=20), Limits())
    holder = Reservation(transfers.budget)
    await holder.take(20)
    with Listener(answer) as listener, transfers.open(source(f"http://127.0.0.1:{listener.port}/x")) as fetch:
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(fetch.more(0), 2.2)
            holder.release()
            with pytest.raises(SourceUnavailable, match="in time") as caught:
                await asyncio.wait_for(fetch.finish(), 10)
            assert caught.value.is_retryable
        finally:
            await transfers.aclose()


async def test_what_waits_in_the_kernel_for_memory_is_no_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two pictures on one connection: its receive buffer has grown, and holds what nobody reads yet."""
    picture, look_s = bytes(32_000_000), 0.08
    monkeypatch.setattr("imgserve.transfer.client.watch.LOOK_S", look_s)

    def answer(peer: socket.socket) -> None:
        with suppress(OSError):
            for pause_s in (0.0, 3 * look_s):
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 32000000\r\n\r\n" + picture[:1000])
                threading.Event().wait(pause_s)  # the watch counts from its first look
                peer.sendall(picture[1000:])

    config = Config(allow_networks=LOOPBACK, memory_bytes=len(picture))
    transfers = Transfers(config, Limits(source_bytes=len(picture)))
    with Listener(answer) as listener:
        try:
            url = f"http://127.0.0.1:{listener.port}/x"
            with transfers.open(source(url)) as first:
                await first.more(len(picture))
                second = transfers.open(source(url))
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(second.more(0), 8 * look_s)
            with second, await second.finish() as blob:
                assert blob.size == len(picture)
            assert listener.connections == 1, "the buffer of a new connection is small"
        finally:
            await transfers.aclose()


async def test_what_was_held_back_for_want_of_memory_can_be_refused() -> None:
    """libcurl hands it over inside the call that goes on, and nothing more comes that could wake it again."""
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

    def answer(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"a" * 50 + b"\r\n")
        peer.recv(1)

    config = Config(allow_networks=LOOPBACK, source_timeout_s=3.0, memory_bytes=20)
    transfers = Transfers(config, Limits(source_bytes=20))
    holder = Reservation(transfers.budget)
    await holder.take(20)
    with Listener(answer) as listener, transfers.open(source(f"http://127.0.0.1:{listener.port}/x")) as fetch:
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(fetch.more(0), 0.3)
            holder.release()
            with pytest.raises(SourceTooLarge):
                await fetch.finish()
        finally:
            await transfers.aclose()
    assert not faults


async def test_what_is_not_there_is_permanent(base: str, transfers: Transfers) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        await fetch_bytes(transfers, base + "/no.jpg")
    assert not caught.value.is_retryable


async def test_a_source_above_the_limit_is_refused(
    base: str, transfers: Transfers, tmp_path: Path, store: ObjectStore
) -> None:
    for name, size_bytes in (("big", 1_000_001), ("just", 1_000_000)):
        (tmp_path / name).write_bytes(b"x" * size_bytes)
        store.put(name, b"x" * size_bytes)
    with pytest.raises(SourceTooLarge):
        await fetch_bytes(transfers, base + "/big")
    assert len(await fetch_bytes(transfers, base + "/just")) == 1_000_000
    # a file's thread may hold the blob a moment longer
    await asyncio.wait_for(Reservation(transfers.budget).take(2_000_000), PATIENCE_S)


@pytest.mark.parametrize(("status", "heals"), [(401, False), (403, False), (410, False), (408, True), (503, True)])
async def test_http_answers(transfers: Transfers, http: HttpReceiver, status: int, heals: bool) -> None:
    http.behave("/a.jpg", Behaviour(status=status, headers={"Retry-After": "3"}))
    with pytest.raises(SourceUnavailable) as caught:
        await fetch_bytes(transfers, http.url + "/a.jpg")
    assert caught.value.is_retryable == heals
    assert caught.value.retry_after_s == 3
    assert caught.value.answered == status


async def test_a_silent_server_is_given_up(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/a.jpg", Behaviour(never=True))
    with pytest.raises(SourceUnavailable, match="in time") as caught:
        await fetch_bytes(transfers, http.url + "/a.jpg")
    assert caught.value.is_retryable
    assert caught.value.answered is None


async def test_redirects_are_followed_and_loops_end(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/old", Behaviour(status=302, redirect="/a.jpg"))
    assert await fetch_bytes(transfers, http.url + "/old") == PICTURE
    http.behave("/loop", Behaviour(status=302, redirect="/loop"))
    with pytest.raises(SourceUnavailable):
        await fetch_bytes(transfers, http.url + "/loop")
    http.behave("/file", Behaviour(status=302, redirect=f"file://{http.directory}/a.jpg"))
    http.behave("/ftp", Behaviour(status=302, redirect="ftp://127.0.0.1/a.jpg"))
    for path in ("/file", "/ftp"):
        with pytest.raises(SourceUnavailable):
            await fetch_bytes(transfers, http.url + path)


async def test_connections_are_reused_and_bounded(transfers: Transfers, http: HttpReceiver) -> None:
    for _ in range(5):
        await fetch_bytes(transfers, http.url + "/a.jpg")
    assert http.connections == 1


async def test_a_cancelled_fetch_says_so(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/a.jpg", Behaviour(never=True))
    fetch = transfers.open(source(http.url + "/a.jpg"))
    assert await asyncio.to_thread(http.log.wait_for, lambda events: bool(events))
    fetch.close()
    with pytest.raises(SourceUnavailable, match="cancelled"):
        await fetch.finish()


async def test_more_returns_while_the_rest_is_still_under_way(transfers: Transfers) -> None:
    go_on = threading.Event()

    def answer(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"a" * 10)
        go_on.wait(10)
        peer.sendall(b"b" * 10)

    with Listener(answer) as listener, transfers.open(source(f"http://127.0.0.1:{listener.port}/x")) as fetch:
        await fetch.more(0)
        assert fetch.blob.read() == b"a" * 10
        assert not fetch.is_complete
        go_on.set()
        await fetch.more(10)
        with await fetch.finish() as blob:
            assert blob.read() == b"a" * 10 + b"b" * 10


async def test_unknown_length_is_counted(transfers: Transfers) -> None:
    def answer(peer: socket.socket) -> None:
        peer.recv(4096)
        with suppress(OSError):
            peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"a" * 3_000_000)

    with Listener(answer) as listener, pytest.raises(SourceTooLarge):
        await fetch_bytes(transfers, f"http://127.0.0.1:{listener.port}/x")


async def test_a_length_that_was_not_known_is_paid_back(transfers: Transfers) -> None:
    def answer(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")

    with Listener(answer) as listener, transfers.open(source(f"http://127.0.0.1:{listener.port}/x")) as fetch:
        assert (await fetch.finish()).read() == b"hello"
        assert transfers.budget.held == 5


async def test_only_regular_files_are_read(transfers: Transfers, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "proc").symlink_to("/proc/self/environ")
    (tmp_path / "out").symlink_to("/etc")
    for name in ("fifo", "device", "proc", "out/passwd", "."):
        with pytest.raises((SourceUnavailable, SourceRefused)):
            await asyncio.wait_for(fetch_bytes(transfers, f"file://{tmp_path}/{name}"), PATIENCE_S)


async def test_the_same_file_by_another_name_is_the_same_place(transfers: Transfers, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c").write_bytes(b"x")
    one = source(f"file://{tmp_path}/a")
    expected = {"a": True, "b": True, "c": False, "not-yet": False}
    for name, same in expected.items():
        place = destination("file", "file:///", f"{tmp_path}/{name}")
        assert await transfers.is_same_file(one, place, "") == same


@pytest.mark.parametrize(
    ("kind", "url", "is_same"),
    [
        ("put", "http://EXAMPLE.com:80/x.png?id=1", True),
        ("put", "http://example.com./y/../x%2Epng?id=1&X-Amz-Signature=2", True),
        ("put", "http://example.com/x.png?id=2", False),
        ("put", "http://example.com:81/x.png?id=1", False),
        ("ftp", "ftp://example.com/x.png", False),
    ],
)
async def test_the_same_place_by_another_spelling(transfers: Transfers, kind: str, url: str, is_same: bool) -> None:
    place = destination(kind, url, key=parse(url).key)
    assert await transfers.is_same_file(source("http://example.com/x.png?id=1"), place, "") == is_same


async def test_a_root_may_be_named_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pics", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "pics" / "a").write_bytes(b"x")
    monkeypatch.chdir(tmp_path / "here")
    transfers = Transfers(Config(read_roots=("../pics",)), Limits())
    assert await fetch_bytes(transfers, f"file://{tmp_path}/pics/a") == b"x"
    await transfers.aclose()


def test_the_configuration_names_its_faults(tmp_path: Path, authority: Authority) -> None:
    config = Config(
        allow_networks=("10.0.0.0/8", "nonsense"), read_roots=(str(tmp_path), "/no/such"), ca_file="/no/such.pem"
    )
    assert [problem.field for problem in config.problems()] == ["allow_networks", "read_roots", "ca_file"]
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    for unusable in (tmp_path / "ca.pem", tmp_path):
        assert len(Config(ca_file=str(unusable)).problems()) == 1
    assert not Config(ca_file=str(authority.ca_file)).problems()
