"""FTP over TLS, in and out: nobody but the right server is spoken to, and nothing goes out in clear text."""

import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from imgserve.request.classic.destination import parse_destination
from imgserve.request.limits import Limits
from imgserve.request.source import parse_source
from imgserve.request.tags import EXAMPLE
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryFailed, DeliveryUnknown, SourceUnavailable
from tests.support.certificates import Authority
from tests.support.transfers import LOOPBACK, Listener, deliver_bytes, destination, fetch_bytes, write
from tests.support.vsftpd import Tls, Vsftpd

PICTURE = b"picture" * 1000
MODES = pytest.mark.parametrize("tls", ["explicit", "implicit"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def transfers(authority: Authority) -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=LOOPBACK, ca_file=str(authority.ca_file)), Limits())
    yield made
    await made.aclose()


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "a.png").write_bytes(PICTURE)
    return tmp_path / "shelf"


@contextmanager
def scripted(authority: Authority, prot: str, seen: list[str], data: socket.socket) -> Iterator[str]:
    """An FTP server that takes AUTH TLS and answers ``prot`` to PROT; yields its URL."""
    context = authority.server("127.0.0.1")
    replies = {"USER": "331 ok", "PASS": "230 ok", "PWD": '257 "/"', "PROT": prot, "SIZE": "213 7000",
               "STOR": "150 go", "RETR": "150 go", "EPSV": f"229 ok (|||{data.getsockname()[1]}|)"}  # fmt: skip

    def serve(peer: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError):
            peer.sendall(b"220 hello\r\n")
            assert b"AUTH TLS" in peer.recv(100)
            peer.sendall(b"234 go on\r\n")
            with context.wrap_socket(peer, server_side=True) as secure, secure.makefile("r") as lines:
                for line in lines:
                    verb = line.split()[0]
                    seen.append(verb)
                    secure.sendall(replies.get(verb, "200 ok").encode() + b"\r\n")

    with Listener(serve) as listener:
        yield f"ftpes://user:s3cret@127.0.0.1:{listener.port}"


@MODES
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda own, _: own.server_file("wrong.test"), "another name"),
        (lambda own, _: own.server_file("127.0.0.1", expires_in=-datetime.timedelta(days=2)), "expired"),
        (lambda _, other: other.server_file("127.0.0.1"), "not trusted"),
    ],
    ids=["name", "expired", "authority"],
)
async def test_a_wrong_certificate_gets_no_login(
    transfers: Transfers, authority: Authority, shelf: Path, tmp_path: Path, tls: Tls,
    make: Callable[[Authority, Authority], Path], sentence: str,
) -> None:  # fmt: skip
    pem = make(authority, Authority(tmp_path, "other"))
    with Vsftpd(shelf, tmp_path / "vsftpd", tls=tls, certificate=pem) as server:
        with pytest.raises(SourceUnavailable, match=sentence):
            await fetch_bytes(transfers, server.url + "/a.png")
        with pytest.raises(DeliveryFailed, match=sentence) as caught:
            await deliver_bytes(transfers, destination("ftp", server.url + "/x.png"), PICTURE, write())
        assert not caught.value.is_retryable
        assert "USER" not in server.commands()
    assert not (shelf / "x.png").exists()


@pytest.mark.parametrize("scheme", ["ftpes", "ftps"])
async def test_a_server_without_tls_hears_no_login(
    transfers: Transfers, shelf: Path, tmp_path: Path, scheme: str
) -> None:
    with Vsftpd(shelf, tmp_path / "vsftpd") as plain:
        url = f"{scheme}://user:s3cret@127.0.0.1:{plain.port}"
        with pytest.raises(SourceUnavailable, match="TLS") as one:
            await fetch_bytes(transfers, url + "/a.png")
        with pytest.raises(DeliveryFailed, match="TLS") as other:
            await deliver_bytes(transfers, destination("ftp", url + "/x.png"), PICTURE, write())
        assert "s3cret" not in one.value.sentence() + other.value.sentence()
        assert {"USER", "PASS"}.isdisjoint(plain.commands())
    assert not (shelf / "x.png").exists()


async def test_a_server_that_keeps_data_in_clear_text_gets_none(transfers: Transfers, authority: Authority) -> None:
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as data, scripted(authority, "534 no", seen, data) as url:
        with pytest.raises(DeliveryFailed, match="TLS"):
            await deliver_bytes(transfers, destination("ftp", url + "/x.png"), PICTURE, write())
        with pytest.raises(SourceUnavailable, match="TLS"):
            await fetch_bytes(transfers, url + "/x.png")
        await transfers.aclose()
    assert "PROT" in seen
    assert not {"EPSV", "PASV", "STOR", "RETR", "SIZE"} & set(seen)


@pytest.mark.parametrize("verb", ["STOR", "RETR"])
async def test_a_data_connection_that_speaks_no_tls_gets_nothing(
    transfers: Transfers, authority: Authority, verb: str
) -> None:
    seen: list[str] = []
    came: list[bytes] = []

    def take(peer: socket.socket) -> None:
        with suppress(OSError):
            came.append(peer.recv(65_536))
            peer.sendall(PICTURE)  # what a server would send that forgot to encrypt

    with Listener(take) as data, scripted(authority, "200 private", seen, data._socket) as url:
        place = destination("ftp", url + "/x.png")
        storing = deliver_bytes(transfers, place, PICTURE, write(timeout_s=2.0))
        moving = storing if verb == "STOR" else fetch_bytes(transfers, place.url)
        with pytest.raises((DeliveryFailed, DeliveryUnknown, SourceUnavailable)):
            await moving
        storing.close()
        await transfers.aclose()
    assert "EPSV" in seen
    assert [first[:2] for first in came] == [b"\x16\x03"], "a TLS handshake, and nothing else"
    assert PICTURE not in came[0]


@MODES
async def test_a_server_that_wants_tls_refuses_plain_ftp(
    transfers: Transfers, authority: Authority, shelf: Path, tmp_path: Path, tls: Tls
) -> None:
    """The twin of the contract suites: what passes there passes by TLS alone."""
    pem = authority.server_file("127.0.0.1")
    with Vsftpd(shelf, tmp_path / "vsftpd", tls=tls, certificate=pem) as server:
        plain = f"ftp://127.0.0.1:{server.port}/x.png"
        with pytest.raises(DeliveryFailed):
            await deliver_bytes(transfers, destination("ftp", plain), PICTURE, write(timeout_s=1.0))
        secure = server.url + "/x.png"
        await deliver_bytes(transfers, destination("ftp", secure), PICTURE, write())
    assert (shelf / "x.png").read_bytes() == PICTURE


async def test_a_kept_connection_without_tls_is_not_used_again_for_tls(
    transfers: Transfers, authority: Authority, shelf: Path, tmp_path: Path
) -> None:
    pem = authority.server_file("127.0.0.1")
    with Vsftpd(shelf, tmp_path / "v", tls="explicit", certificate=pem, is_tls_required=False) as server:
        plain = f"ftp://127.0.0.1:{server.port}"
        assert await fetch_bytes(transfers, plain + "/a.png") == PICTURE
        assert "AUTH" not in server.commands()
        assert await fetch_bytes(transfers, server.url + "/a.png") == PICTURE
        commands = server.commands()
        assert commands.count("USER") == 2
        assert commands[-1] == "RETR"
        assert commands.index("AUTH") < commands.index("PROT") < len(commands) - 1


async def test_ftps_on_port_21_asks_for_tls(authority: Authority) -> None:
    """Port 21 needs root to listen on, so the URL alone is looked at: it is the one that the suites use."""
    assert parse_source("ftps://u:p@host.test:21/a.png").url == "ftpes://u:p@host.test:21/a.png"
    filled = parse_destination("ftps://host.test:21/{$width}.png", {}).fill(EXAMPLE)
    assert filled.url.startswith("ftpes://host.test:21/")
    assert filled.shown.startswith("ftps://host.test:21/"), "the caller's own spelling goes back"
    assert parse_source("ftps://host.test/a.png").port == 990
    assert parse_source("ftpes://host.test/a.png").port == 21
