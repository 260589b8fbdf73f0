"""The guard over real connections: hostile URLs never connect, their allowed twins arrive."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from examples.receivers import Behaviour, HttpReceiver

from imgserve.request.limits import Limits
from imgserve.transfer.client.call import Call, deadline_in
from imgserve.transfer.client.curl import Client
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers, Write
from imgserve.transfer.faults import DestinationRefused, ExchangeFailed, SourceRefused, SourceUnavailable
from imgserve.transfer.guard import Guard, Refusal, parse_network
from tests.support.ports import free_port
from tests.support.transfers import Listener, deliver_bytes, destination, fetch_bytes, say_hello, source

PICTURE = bytes(range(256)) * 3000


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
                await fetch_bytes(closed, url)
            for kind in ("put", "form"):
                with pytest.raises(DestinationRefused):
                    await deliver_bytes(
                        closed, destination(kind, url, name="x"), b"x", Write("final", "image/png", "o1", 1, 5.0)
                    )
            assert listener.connections == 0
            assert await fetch_bytes(opened, url) == b"hello"
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
            await fetch_bytes(transfers, http.url + "/go")
        write = Write("final", "image/png", "o1", 1, 5.0)
        with pytest.raises(DestinationRefused):
            await deliver_bytes(transfers, destination("put", http.url + "/put"), b"x", write)
        assert listener.connections == 0
        http.behave("/go", Behaviour(status=302, redirect=f"http://127.0.0.1:{listener.port}/x"))
        assert await fetch_bytes(transfers, http.url + "/go") == b"hello"
    await transfers.aclose()


@pytest.mark.parametrize("allowed", ["127.0.0.1", "::1"])
async def test_a_name_with_one_open_address_is_not_refused(allowed: str) -> None:
    """libcurl knows both addresses of ``localhost`` by itself; nobody listens at either."""
    transfers = Transfers(Config(allow_networks=(allowed,)), Limits())
    with pytest.raises(SourceUnavailable, match="does not accept connections") as caught:
        await fetch_bytes(transfers, f"http://localhost:{free_port()}/x")
    await transfers.aclose()
    assert caught.value.is_retryable


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
                await fetch_bytes(transfers, f"ftp://127.0.0.1:{listener.port}/x")
            await transfers.aclose()
        assert listener.connections == 1
        assert target.connections == 0


async def test_a_proxy_from_the_environment_is_not_used(
    http: HttpReceiver, transfers: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Listener(say_hello) as proxy:
        for name in ("http_proxy", "all_proxy", "ALL_PROXY", "ftp_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert await fetch_bytes(transfers, http.url + "/a.jpg") == PICTURE
        assert proxy.connections == 0


class Shifting(Guard, frozen=True):
    """A guard whose policy is the last of ``policies``: what a pooled connection meets when another opened it."""

    policies: list[Guard] = msgspec.field(default_factory=list)

    def refusal(self, address: str, port: int) -> Refusal | None:
        return self.policies[-1].refusal(address, port)


async def test_a_pooled_connection_is_judged_again(http: HttpReceiver) -> None:
    guard = Shifting(policies=[Guard((parse_network("127.0.0.0/8"),))])
    client = Client(guard, Config())
    call = Call(method="GET", url=http.url + "/a.jpg", deadline_s=deadline_in(5.0), body_limit_bytes=1_000_000)
    assert (await client.perform(call)).body == PICTURE
    assert (await client.perform(call)).body == PICTURE
    guard.policies.append(Guard())
    with pytest.raises(ExchangeFailed, match="not a public one") as caught:
        await client.perform(call)
    await client.aclose()
    assert caught.value.is_refused
    assert http.connections == 1, "the connection was to be kept and used again"
    assert len(http.log.all()) == 2
