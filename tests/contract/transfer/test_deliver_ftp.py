"""What is special about deliveries by FTP: names in commands, logins, replies that do not come, what is left behind."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from examples.ftp_receiver import FtpReceiver

from imgserve.blob import Blob
from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import (
    DeliveryFailed,
    DeliveryUnknown,
)
from tests.support.memfds import open_blobs
from tests.support.sizes import PATIENCE_S
from tests.support.transfers import LOOPBACK, Listener, deliver_bytes, destination, write


@pytest.fixture
async def transfers(tmp_path: Path) -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=LOOPBACK, write_roots=(str(tmp_path),)), Limits())
    yield made
    await made.aclose()


@pytest.mark.parametrize("name", ["%0d%0aDELE%20x", "a%00b"])
async def test_ftp_refuses_control_characters(transfers: Transfers, tmp_path: Path, name: str) -> None:
    with FtpReceiver(tmp_path) as ftp:
        with pytest.raises(DeliveryFailed):
            await deliver_bytes(transfers, destination("ftp", f"{ftp.url}/{name}"), b"p", write())
        assert not ftp.log.all()


async def test_a_wrong_ftp_password_is_definite(transfers: Transfers, tmp_path: Path) -> None:
    with FtpReceiver(tmp_path) as ftp:
        url = ftp.url.replace("password", "s3cret")
        with pytest.raises(DeliveryFailed) as caught:
            await deliver_bytes(transfers, destination("ftp", url + "/x.png"), b"p", write())
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
            await deliver_bytes(transfers, place, b"picture", write(timeout_s=1.0))
        await transfers.aclose()
        await asyncio.to_thread(server.join)
    assert caught.value.is_retryable
    assert stored == [b"picture"]


@pytest.mark.parametrize(
    ("silent", "fault"), [("STOR", DeliveryFailed), ("RNTO", DeliveryUnknown), ("SIZE", DeliveryUnknown)]
)
async def test_a_lost_reply_is_not_explained_by_an_older_refusal(
    transfers: Transfers, silent: str, fault: type[DeliveryFailed | DeliveryUnknown]
) -> None:
    """The server refuses to delete leftovers and to rename over a file; on the second session it falls silent."""
    with socket.create_server(("127.0.0.1", 0)) as data, Listener(lambda peer: serve(peer)) as control:
        data.settimeout(10)
        replies = {
            "USER": "331 ok", "PASS": "230 ok", "PWD": '257 "/"', "EPSV": f"229 ok (|||{data.getsockname()[1]}|)",
            "RNFR": "350 go on", "STOR": "150 go", "SIZE": "213 7",
        }  # fmt: skip
        seen: list[str] = []

        def serve(peer: socket.socket) -> None:
            with suppress(OSError), peer.makefile("r") as lines:
                peer.sendall(b"220 hello\r\n")
                for line in lines:
                    verb = line.split()[0]
                    is_second = seen.count("RNFR") == 2
                    seen.append(verb)
                    if verb == silent and (is_second or silent == "STOR"):
                        return
                    reply = replies.get(verb, "200 ok")
                    if (verb == "DELE" and "STOR" not in seen) or (verb == "RNTO" and not is_second):
                        reply = "550 no"
                    peer.sendall(reply.encode() + b"\r\n")
                    if verb == "STOR":
                        with data.accept()[0] as stream, stream.makefile("rb") as sent:
                            sent.read()
                        peer.sendall(b"226 done\r\n")

        place = destination("ftp", f"ftp://127.0.0.1:{control.port}/x.png")
        with pytest.raises(fault) as caught:
            await deliver_bytes(transfers, place, b"picture", write(token=3, timeout_s=5.0))
        await transfers.aclose()
    assert caught.value.is_retryable


async def test_what_a_failed_rename_leaves_is_removed_in_the_same_session(transfers: Transfers, tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    (tmp_path / "x.png" / "inside").touch()
    with FtpReceiver(tmp_path) as ftp:
        with pytest.raises(DeliveryFailed):
            await deliver_bytes(transfers, destination("ftp", ftp.url + "/x.png"), b"p", write(token=3))
        assert ftp.log.wait_for(lambda events: len(events) == 2)  # the answer to DELE goes out before it is logged
        assert [(event.kind, Path(event.name).name) for event in ftp.log.all()] == [
            ("STOR", write(token=3).temporary_name),
            ("DELE", write(token=3).temporary_name),
        ]
        assert os.listdir(tmp_path) == ["x.png"]
        (tmp_path / "x.png" / "inside").unlink()
        (tmp_path / "x.png").rmdir()
        await deliver_bytes(transfers, destination("ftp", ftp.url + "/x.png"), b"p", write(token=4))
        assert ftp.connections == 1


async def test_a_login_that_fails_has_nothing_to_remove(transfers: Transfers, tmp_path: Path) -> None:
    with FtpReceiver(tmp_path) as ftp:
        with pytest.raises(DeliveryFailed):
            await deliver_bytes(
                transfers, destination("ftp", ftp.url.replace("password", "wrong") + "/x"), b"p", write()
            )
        assert ftp.connections == 1


async def test_the_thread_of_an_exchange_has_the_picture_as_long_as_it_runs(transfers: Transfers) -> None:
    """It may outlive a cancelled delivery, and must never read the next picture under the same descriptor."""

    def say_nothing(peer: socket.socket) -> None:
        peer.recv(1)

    with Listener(say_nothing) as listener:
        blob = Blob.of(b"picture")
        place = destination("ftp", f"ftp://127.0.0.1:{listener.port}/a.png")
        delivery = asyncio.create_task(transfers.deliver(place, blob, write()))
        while not listener.connections:  # noqa: ASYNC110 - the server is a thread
            await asyncio.sleep(0.01)
        blob.close()
        assert open_blobs() == 1
        delivery.cancel()
        await asyncio.wait([delivery])
        async with asyncio.timeout(PATIENCE_S):
            while open_blobs():  # noqa: ASYNC110 - a thread has no event
                await asyncio.sleep(0.01)
