"""One suite for every way to deliver: local file, three kinds of FTP server, HTTP PUT, upload form. Real servers."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from examples.receivers import Behaviour, FtpReceiver, HttpReceiver, digest_of

from imgserve.blob import Blob
from imgserve.spec.destination import Destination
from imgserve.spec.limits import Limits
from imgserve.transfer import location
from imgserve.transfer.dispatch import Config, Transfers, Write
from imgserve.transfer.faults import DeliveryFailed, DeliveryUnknown, DestinationRefused

ODD_NAMES = [
    "plain.png",
    "two words.png",
    "grün 図.png",
    "100%.png",
    "per%20cent.png",
    "it's.png",
    "a+b&c=d.png",
    '"q".png',
]
LOOPBACK = ("127.0.0.0/8",)


def destination(kind: str, url: str, path: str = "", name: str = "") -> Destination:
    place = location.origin(url) if kind != "file" else location.Origin("file", "", 0)
    return Destination(kind, url, url, place.host, place.port, path, url, name, "image_file")  # type: ignore[arg-type]


def write(state: str = "final", token: int = 1, timeout_s: float = 10.0) -> Write:
    return Write(state, "image/png", "o7", token, timeout_s)  # type: ignore[arg-type]


def _files(directory: Path) -> list[str]:
    return [found.name for found in directory.rglob("*") if found.is_file()]


@dataclass
class Peer:
    """A kind of destination: how to name a place on it, and where the bytes end up."""

    kind: str
    root: Path
    at: Callable[[str], Destination]
    stored: Callable[[str], Path]


KINDS = ["file", "ftp", "ftp-no-rename-over", "ftp-no-rnfr", "put", "form"]


def only(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("peer", kinds, indirect=True)


@pytest.fixture(params=KINDS)
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    kind = str(request.param)
    with ExitStack() as stack:
        if kind == "file":
            yield Peer(
                kind, tmp_path, lambda p: destination("file", f"file://{tmp_path}", f"{tmp_path}/{p}"),
                lambda p: tmp_path / p,
            )  # fmt: skip
        elif kind.startswith("ftp"):
            ftp = stack.enter_context(
                FtpReceiver(tmp_path, rename_over=kind != "ftp-no-rename-over", knows_rnfr=kind != "ftp-no-rnfr")
            )
            yield Peer(kind, tmp_path, lambda p: destination("ftp", f"{ftp.url}/{quote(p)}"), lambda p: tmp_path / p)
        else:
            http = stack.enter_context(HttpReceiver(tmp_path))
            if kind == "put":
                yield Peer(
                    kind, tmp_path, lambda p: destination("put", f"{http.url}/{quote(p)}"), lambda p: tmp_path / p
                )
            else:
                yield Peer(
                    kind, tmp_path, lambda p: destination("form", f"{http.url}/upload.html", name=Path(p).name),
                    lambda p: tmp_path / "uploads" / Path(p).name,
                )  # fmt: skip


@pytest.fixture
async def transfers(tmp_path: Path) -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=LOOPBACK, write_roots=(str(tmp_path),)), Limits())
    yield made
    await made.aclose()


@pytest.fixture
def http(tmp_path: Path) -> Iterator[HttpReceiver]:
    with HttpReceiver(tmp_path) as receiver:
        yield receiver


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_a_delivery_arrives_under_its_name(peer: Peer, transfers: Transfers, name: str) -> None:
    await transfers.deliver(peer.at(name), Blob.of(b"picture"), write())
    assert peer.stored(name).read_bytes() == b"picture"


async def test_missing_directories_are_made(peer: Peer, transfers: Transfers) -> None:
    await transfers.deliver(peer.at("new/deep er/x.png"), Blob.of(b"picture"), write())
    assert peer.stored("new/deep er/x.png").read_bytes() == b"picture"


async def test_the_final_replaces_the_placeholder_and_leaves_nothing_else(peer: Peer, transfers: Transfers) -> None:
    large = bytes(range(256)) * 4096
    await transfers.deliver(peer.at("x.png"), Blob.of(b"placeholder"), write("placeholder", 0))
    delivery = await transfers.deliver(peer.at("x.png"), Blob.of(large), write("final", 1))
    assert peer.stored("x.png").read_bytes() == large
    assert _files(peer.root) == ["x.png"]
    assert delivery.is_verified == (peer.kind != "form")


@only("file", "ftp", "ftp-no-rename-over", "ftp-no-rnfr")
async def test_what_an_earlier_attempt_left_is_removed(peer: Peer, transfers: Transfers) -> None:
    (peer.root / write(token=2).temporary_name).write_bytes(b"half")
    (peer.root / ".imgserve-o8-2").write_bytes(b"another output's")
    await transfers.deliver(peer.at("x.png"), Blob.of(b"picture"), write(token=3))
    assert sorted(path.name for path in peer.root.iterdir()) == [".imgserve-o8-2", "x.png"]


async def test_delete_and_delete_again(peer: Peer, transfers: Transfers) -> None:
    await transfers.deliver(peer.at("d/x.png"), Blob.of(b"picture"), write())
    if peer.kind == "form":
        with pytest.raises(DeliveryFailed, match="form"):
            await transfers.delete(peer.at("d/x.png"), write())
        return
    await transfers.delete(peer.at("d/x.png"), write())
    assert not peer.stored("d/x.png").exists()
    await transfers.delete(peer.at("d/x.png"), write())
    await transfers.delete(peer.at("nowhere/x.png"), write())


@only("file", "ftp")  # what is guaranteed for a file, and for FTP with rename over the target
async def test_a_reader_never_sees_half_a_file(peer: Peer, transfers: Transfers) -> None:
    pictures = [bytes([number]) * 300_000 for number in range(12)]
    whole = {digest_of(picture) for picture in pictures}
    await transfers.deliver(peer.at("x.png"), Blob.of(pictures[0]), write())
    stop, bad, reads = threading.Event(), [], []

    def read_on() -> None:
        while not stop.is_set():
            data = peer.stored("x.png").read_bytes()
            reads.append(len(data))
            if digest_of(data) not in whole:
                bad.append(len(data))

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        for token, picture in enumerate(pictures):
            await transfers.deliver(peer.at("x.png"), Blob.of(picture), write(token=token))
    finally:
        stop.set()
        reader.join()
    assert reads
    assert not bad


@only("file", "ftp", "ftp-no-rename-over", "ftp-no-rnfr", "put")
async def test_an_empty_target_directory_is_no_file(peer: Peer, transfers: Transfers) -> None:
    (peer.root / "x.png").mkdir()
    (peer.root / "x.png" / "inside").touch()
    with pytest.raises((DeliveryFailed, DeliveryUnknown)):
        await transfers.deliver(peer.at("x.png"), Blob.of(b"picture"), write())
    assert (peer.root / "x.png" / "inside").exists()


async def test_a_closed_port_is_a_definite_failure(transfers: Transfers, tmp_path: Path) -> None:
    with HttpReceiver(tmp_path) as gone:
        url = gone.url
    ftp_url = url.replace("http:", "ftp:")
    places = [
        destination("put", url + "/x"),
        destination("form", url + "/u", name="x"),
        destination("ftp", ftp_url + "/x"),
    ]
    for place in places:
        with pytest.raises(DeliveryFailed) as caught:
            await transfers.deliver(place, Blob.of(b"picture"), write())
        assert caught.value.is_retryable


@pytest.mark.parametrize(
    ("status", "is_retryable"), [(403, False), (404, False), (429, True), (500, True), (302, False)]
)
async def test_an_answer_that_refuses_is_definite(
    transfers: Transfers, http: HttpReceiver, status: int, is_retryable: bool
) -> None:
    http.behave("/", Behaviour(status=status, kinds=("PUT",), headers={"Retry-After": "7"}))
    with pytest.raises(DeliveryFailed) as caught:
        await transfers.deliver(destination("put", http.url + "/x.png"), Blob.of(b"picture"), write())
    assert caught.value.is_retryable == is_retryable
    assert caught.value.retry_after_s == 7
    assert len(http.log.of("PUT")) == 1


async def test_a_placeholder_is_tried_twice_on_5xx(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/", Behaviour(status=503, times=1, kinds=("PUT",)))
    await transfers.deliver(destination("put", http.url + "/x.png"), Blob.of(b"p"), write("placeholder"))
    assert [event.status for event in http.log.of("PUT")] == [503, 201]


@pytest.mark.parametrize("how", [Behaviour(cut=True), Behaviour(never=True)])
@pytest.mark.parametrize("kind", ["put", "form"])
async def test_no_answer_after_the_bytes_is_unknown(
    transfers: Transfers, http: HttpReceiver, kind: str, how: Behaviour
) -> None:
    how = Behaviour(cut=how.cut, never=how.never, kinds=("PUT", "POST"))
    http.behave("/", how)
    place = destination(kind, http.url + ("/x.png" if kind == "put" else "/upload.html"), name="x.png")
    with pytest.raises(DeliveryUnknown):
        await transfers.deliver(place, Blob.of(b"picture"), write(timeout_s=1.0))
    assert len(http.log.of("PUT", "POST")) == 1


async def test_a_page_that_gives_no_answer_is_the_posts_own_failure(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/upload.html", Behaviour(never=True))
    place = destination("form", http.url + "/upload.html", name="x.png")
    with pytest.raises(DeliveryFailed):
        await transfers.deliver(place, Blob.of(b"picture"), write(timeout_s=0.5))
    assert not http.log.of("POST")


async def test_a_page_without_a_form_is_posted_to(transfers: Transfers, http: HttpReceiver, tmp_path: Path) -> None:
    place = destination("form", http.url + "/direct", name="x.png")
    await transfers.deliver(place, Blob.of(b"picture"), write())
    assert (tmp_path / "uploads" / "x.png").read_bytes() == b"picture"


@pytest.mark.parametrize("status", [307, 308])
async def test_a_307_is_sent_again_once(transfers: Transfers, http: HttpReceiver, tmp_path: Path, status: int) -> None:
    http.behave("/old", Behaviour(status=status, redirect="/new.png"))
    await transfers.deliver(destination("put", http.url + "/old.png"), Blob.of(b"picture"), write("failed"))
    assert (tmp_path / "new.png").read_bytes() == b"picture"
    http.behave("/new", Behaviour(status=status, redirect="/old.png"))
    with pytest.raises(DeliveryFailed):
        await transfers.deliver(destination("put", http.url + "/old.png"), Blob.of(b"picture"), write("failed"))
    assert len(http.log.of("PUT")) == 4


async def test_a_wrong_size_found_afterwards_is_a_failure(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/", Behaviour(status=204, kinds=("PUT",)))
    (http.directory / "x.png").write_bytes(b"old and longer")
    with pytest.raises(DeliveryFailed, match="14 bytes") as caught:
        await transfers.deliver(destination("put", http.url + "/x.png"), Blob.of(b"new"), write())
    assert caught.value.is_retryable


async def test_headers_tell_the_state_and_presigned_urls_are_not_asked(
    transfers: Transfers, http: HttpReceiver
) -> None:
    for state in ("placeholder", "failed", "final"):
        await transfers.deliver(destination("put", http.url + "/x.png?sig=1"), Blob.of(b"p"), write(state))
    assert [event.state for event in http.log.of("PUT")] == ["placeholder", "failed", "final"]
    assert not http.log.of("HEAD")


async def test_a_cancelled_write_stops(transfers: Transfers, http: HttpReceiver) -> None:
    http.behave("/", Behaviour(never=True, kinds=("PUT",)))
    place = destination("put", http.url + "/x.png")
    task = asyncio.create_task(transfers.deliver(place, Blob.of(b"picture"), write()))
    assert await asyncio.to_thread(http.log.wait_for, lambda events: bool(events))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    http.behave("/", Behaviour(times=0))
    await transfers.deliver(place, Blob.of(b"picture"), write())


@pytest.mark.parametrize(
    "path", ["/etc/imgserve-x", "{root}/../x", "{root}/a/../../x", "{root}-beside/x", "{root}/escape/x", "{root}/x\0y"]
)
async def test_files_stay_beneath_their_root(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "root-beside").mkdir()
    (root / "escape").symlink_to(tmp_path)
    transfers = Transfers(Config(write_roots=(str(root),)), Limits())
    place = destination("file", "file:///", path.format(root=root))
    with pytest.raises((DestinationRefused, DeliveryFailed)):
        await transfers.deliver(place, Blob.of(b"picture"), write())
    await transfers.aclose()
    assert not _files(tmp_path)


@pytest.mark.parametrize("name", ["%0d%0aDELE%20x", "a%00b"])
async def test_ftp_refuses_control_characters(transfers: Transfers, tmp_path: Path, name: str) -> None:
    with FtpReceiver(tmp_path) as ftp:
        with pytest.raises(DeliveryFailed):
            await transfers.deliver(destination("ftp", f"{ftp.url}/{name}"), Blob.of(b"p"), write())
        assert not ftp.log.all()


async def test_a_wrong_ftp_password_is_definite(transfers: Transfers, tmp_path: Path) -> None:
    with FtpReceiver(tmp_path) as ftp:
        url = ftp.url.replace("password", "s3cret")
        with pytest.raises(DeliveryFailed) as caught:
            await transfers.deliver(destination("ftp", url + "/x.png"), Blob.of(b"p"), write())
    assert not caught.value.is_retryable
    assert "s3cret" not in caught.value.sentence()


@pytest.mark.parametrize(("last", "fault"), [(b"", DeliveryUnknown), (b"451 later\r\n", DeliveryFailed)])
async def test_ftp_without_an_answer_is_unknown_and_with_a_refusal_definite(
    transfers: Transfers, last: bytes, fault: type[DeliveryFailed | DeliveryUnknown]
) -> None:
    stored = []
    with socket.create_server(("127.0.0.1", 0)) as data, socket.create_server(("127.0.0.1", 0)) as control:
        data.settimeout(10)
        replies = {
            b"USER": b"331 ok\r\n", b"PASS": b"230 ok\r\n", b"PWD": b'257 "/"\r\n', b"STOR": b"150 go\r\n",
            b"EPSV": f"229 ok (|||{data.getsockname()[1]}|)\r\n".encode(),
        }  # fmt: skip

        def serve() -> None:
            peer, _ = control.accept()
            with peer, suppress(OSError), peer.makefile("rb") as lines:
                peer.sendall(b"220 hello\r\n")
                for line in lines:
                    peer.sendall(replies.get(line[:4].strip(), b"200 ok\r\n"))
                    if line.startswith(b"STOR"):
                        with data.accept()[0] as stream, stream.makefile("rb") as sent:
                            stored.append(sent.read())
                        peer.sendall(last)

        server = threading.Thread(target=serve)
        server.start()
        place = destination("ftp", f"ftp://127.0.0.1:{control.getsockname()[1]}/x.png")
        with pytest.raises(fault) as caught:
            await transfers.deliver(place, Blob.of(b"picture"), write(timeout_s=1.0))
        await transfers.aclose()
        await asyncio.to_thread(server.join)
    assert caught.value.is_retryable
    assert stored == [b"picture"]
