"""One suite for every way to deliver: file, FTP(S) servers of all kinds, HTTP PUT, form, bucket. Real servers."""

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import quote

import pytest
from examples.events import digest_of
from examples.ftp_receiver import FtpReceiver
from examples.receivers import HttpReceiver

from imgserve.blob import Blob, Fingerprint
from imgserve.request.destination import Destination
from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import (
    CannotAsk,
    DeliveryFailed,
    DeliveryUnknown,
    DestinationRefused,
)
from tests.support.buckets import ObjectStore, in_bucket
from tests.support.certificates import Authority
from tests.support.ports import free_port
from tests.support.transfers import LOOPBACK, deliver_bytes, destination, read_page, write
from tests.support.vsftpd import Tls, Vsftpd

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


def _files(directory: Path) -> list[str]:
    return [found.name for found in directory.rglob("*") if found.is_file()]


class Stored(Protocol):
    """The part of ``Path`` that the suite needs of a file, or of an object."""

    def read_bytes(self) -> bytes: ...

    def write_bytes(self, data: bytes, /) -> object: ...

    def exists(self) -> bool: ...


@dataclass
class Peer:
    """A kind of destination: how to name a place on it, and where the bytes end up."""

    kind: str
    root: Path
    at: Callable[[str], Destination]
    stored: Callable[[str], Stored]


FTPS = {"ftp-vsftpd": "", "ftpes": "explicit", "ftps": "implicit"}
FTP = ["ftp", "ftp-no-rename-over", "ftp-no-rnfr", *FTPS]
KINDS = ["file", *FTP, "put", "form", "s3"]


def only(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("peer", kinds, indirect=True)


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with ObjectStore() as started:
        yield started


@pytest.fixture(params=KINDS)
def peer(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
    store: ObjectStore,
) -> Iterator[Peer]:
    kind = str(request.param)
    with ExitStack() as stack:
        if kind == "file":
            yield Peer(
                kind, tmp_path, lambda p: destination("file", f"file://{tmp_path}", f"{tmp_path}/{p}"),
                lambda p: tmp_path / p,
            )  # fmt: skip
        elif kind in FTPS:
            pem = authority.server_file("127.0.0.1")
            work = tmp_path_factory.mktemp("vsftpd")
            vsftpd = stack.enter_context(Vsftpd(tmp_path, work, tls=cast(Tls, FTPS[kind]), certificate=pem))
            yield Peer(kind, tmp_path, lambda p: destination("ftp", f"{vsftpd.url}/{quote(p)}"), lambda p: tmp_path / p)
        elif kind.startswith("ftp"):
            ftp = stack.enter_context(
                FtpReceiver(tmp_path, rename_over=kind != "ftp-no-rename-over", knows_rnfr=kind != "ftp-no-rnfr")
            )
            yield Peer(kind, tmp_path, lambda p: destination("ftp", f"{ftp.url}/{quote(p)}"), lambda p: tmp_path / p)
        elif kind == "s3":
            store.clear()
            yield Peer(kind, tmp_path, lambda p: in_bucket(f"{store.url}/{quote(p)}"), store.object)
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
async def transfers(tmp_path: Path, authority: Authority, store: ObjectStore) -> AsyncIterator[Transfers]:
    config = Config(allow_networks=LOOPBACK, write_roots=(str(tmp_path),), ca_file=str(authority.ca_file))
    made = Transfers(config, Limits(), read_page, store.credentials)
    yield made
    await made.aclose()


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_a_delivery_arrives_under_its_name(peer: Peer, transfers: Transfers, name: str) -> None:
    await deliver_bytes(transfers, peer.at(name), b"picture", write())
    assert peer.stored(name).read_bytes() == b"picture"


async def test_missing_directories_are_made(peer: Peer, transfers: Transfers) -> None:
    await deliver_bytes(transfers, peer.at("new/deep er/x.png"), b"picture", write())
    assert peer.stored("new/deep er/x.png").read_bytes() == b"picture"


async def test_the_final_replaces_the_placeholder_and_leaves_nothing_else(peer: Peer, transfers: Transfers) -> None:
    large = bytes(range(256)) * 4096
    await deliver_bytes(transfers, peer.at("x.png"), b"placeholder", write("placeholder", 0))
    delivery = await deliver_bytes(transfers, peer.at("x.png"), large, write("final", 1))
    assert peer.stored("x.png").read_bytes() == large
    assert _files(peer.root) == ([] if peer.kind == "s3" else ["x.png"])
    assert delivery.is_verified == (peer.kind != "form")


@only("file", *FTP)
async def test_what_an_earlier_attempt_left_is_removed(peer: Peer, transfers: Transfers) -> None:
    (peer.root / write(token=2).temporary_name).write_bytes(b"half")
    (peer.root / ".imgserve-o8-2").write_bytes(b"another output's")
    await deliver_bytes(transfers, peer.at("x.png"), b"picture", write(token=3))
    assert sorted(path.name for path in peer.root.iterdir()) == [".imgserve-o8-2", "x.png"]


@only("file", *FTP)
async def test_what_a_placeholder_left_is_removed_however_late(peer: Peer, transfers: Transfers) -> None:
    """Tokens are the job's: each of its outputs counts them up."""
    (peer.root / write(token=0).temporary_name).write_bytes(b"half")
    await deliver_bytes(transfers, peer.at("x.png"), b"picture", write(token=99))
    assert [path.name for path in peer.root.iterdir()] == ["x.png"]


async def test_delete_and_delete_again(peer: Peer, transfers: Transfers) -> None:
    await deliver_bytes(transfers, peer.at("d/x.png"), b"picture", write())
    if peer.kind == "form":
        with pytest.raises(DeliveryFailed, match="form"):
            await transfers.delete(peer.at("d/x.png"), write())
        return
    await transfers.delete(peer.at("d/x.png"), write())
    assert not peer.stored("d/x.png").exists()
    await transfers.delete(peer.at("d/x.png"), write())
    await transfers.delete(peer.at("nowhere/x.png"), write())


@only("file", "ftp", *FTPS, "s3")  # what is guaranteed for these, and for FTP with rename over the target
async def test_a_reader_never_sees_half_a_file(peer: Peer, transfers: Transfers) -> None:
    pictures = [bytes([number]) * 300_000 for number in range(12)]
    whole = {digest_of(picture) for picture in pictures}
    await deliver_bytes(transfers, peer.at("x.png"), pictures[0], write())
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
            await deliver_bytes(transfers, peer.at("x.png"), picture, write(token=token))
    finally:
        stop.set()
        reader.join()
    assert reads
    assert not bad


@only("file", *FTP, "put")
async def test_an_empty_target_directory_is_no_file(peer: Peer, transfers: Transfers) -> None:
    (peer.root / "x.png").mkdir()
    (peer.root / "x.png" / "inside").touch()
    with pytest.raises((DeliveryFailed, DeliveryUnknown)):
        await deliver_bytes(transfers, peer.at("x.png"), b"picture", write())
    assert (peer.root / "x.png" / "inside").exists()
    assert not (peer.root / write().temporary_name).exists(), "a delivery that failed takes its temporary file along"


async def test_a_closed_port_is_a_definite_failure(transfers: Transfers) -> None:
    origin = f"127.0.0.1:{free_port()}"
    places = [
        destination("put", f"http://{origin}/x"),
        destination("form", f"http://{origin}/u", name="x"),
        destination("ftp", f"ftp://{origin}/x"),
    ]
    for place in places:
        with pytest.raises(DeliveryFailed) as caught:
            await deliver_bytes(transfers, place, b"picture", write())
        assert caught.value.is_retryable


@pytest.mark.parametrize(
    "path", ["/etc/imgserve-x", "{root}/../x", "{root}/a/../../x", "{root}-beside/x", "{root}/escape/x", "{root}/x\0y"]
)
async def test_files_stay_beneath_their_root(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "root-beside").mkdir()
    (root / "escape").symlink_to(tmp_path)
    transfers = Transfers(Config(write_roots=(str(root),)), Limits(), read_page)
    place = destination("file", "file:///", path.format(root=root))
    with pytest.raises((DestinationRefused, DeliveryFailed)):
        await deliver_bytes(transfers, place, b"picture", write())
    await transfers.aclose()
    assert not _files(tmp_path)


@only("file", *FTP, "put", "form")  # obstore gets a mapping, which is a result's, and sealed
async def test_a_picture_that_has_become_shorter_is_a_fault_and_no_endless_wait(
    peer: Peer, transfers: Transfers
) -> None:
    with Blob.of(b"picture" * 100) as blob:
        os.ftruncate(blob.fd, 350)
        with pytest.raises((DeliveryFailed, DeliveryUnknown)):
            await transfers.deliver(peer.at("short.png"), blob, write(timeout_s=3.0))


@only("file", "ftp", "ftp-vsftpd", "put", "s3")
async def test_a_destination_tells_what_lies_there(peer: Peer, transfers: Transfers) -> None:
    place, missing = peer.at("a.png"), peer.at("none/b.png")
    assert await transfers.size_of(place, write()) is None
    assert await transfers.size_of(missing, write()) is None
    peer.stored("a.png").write_bytes(b"somebody else's")
    assert await transfers.size_of(place, write()) == 15
    assert await transfers.fingerprint_of(place, write()) == Fingerprint.of(b"somebody else's")
    assert await transfers.fingerprint_of(missing, write()) is None


@only("form")
async def test_a_form_does_not_tell_what_it_has(peer: Peer, transfers: Transfers) -> None:
    with pytest.raises(CannotAsk, match="does not tell"):
        await transfers.size_of(peer.at("a.png"), write())
