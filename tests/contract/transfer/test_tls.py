"""HTTPS with real certificates: who is trusted, and that nothing leads from https back to http."""

import datetime
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from examples.receivers import Behaviour, HttpReceiver

from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryFailed, SourceUnavailable
from tests.support.certificates import Authority
from tests.support.transfers import LOOPBACK, deliver_bytes, destination, fetch_bytes, read_page, write


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secure(authority: Authority, tmp_path: Path) -> Iterator[HttpReceiver]:
    with HttpReceiver(_shelf(tmp_path / "secure"), tls=authority.server("127.0.0.1", "localhost")) as receiver:
        yield receiver


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[HttpReceiver]:
    with HttpReceiver(_shelf(tmp_path / "plain")) as receiver:
        yield receiver


@pytest.fixture
async def transfers(authority: Authority) -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=(*LOOPBACK, "::1"), ca_file=str(authority.ca_file)), Limits(), read_page)
    yield made
    await made.aclose()


def _shelf(directory: Path) -> Path:
    directory.mkdir()
    (directory / "a.png").write_bytes(b"picture")
    return directory


def _login_url(receiver: HttpReceiver, path: str) -> str:
    return receiver.url.replace("//", "//user:s3cret@") + path


async def test_https_in_and_out(transfers: Transfers, secure: HttpReceiver) -> None:
    assert await fetch_bytes(transfers, secure.url + "/a.png") == b"picture"
    await deliver_bytes(transfers, destination("put", secure.url + "/x.png"), b"put", write())
    await deliver_bytes(transfers, destination("form", secure.url + "/upload.html", name="y.png"), b"post", write())
    assert (secure.directory / "x.png").read_bytes() == b"put"
    assert (secure.directory / "uploads" / "y.png").read_bytes() == b"post"
    await transfers.delete(destination("put", secure.url + "/x.png"), write())
    assert not (secure.directory / "x.png").exists()


@pytest.mark.parametrize(
    ("fault", "told", "mends"),
    [
        ("authority", "authority that is not trusted", "--ca-file"),
        ("name", "another name", "use the name"),
        ("date", "expired", "renew it"),
    ],
)
async def test_a_certificate_that_does_not_hold_is_definite(
    transfers: Transfers, authority: Authority, tmp_path: Path, fault: str, told: str, mends: str
) -> None:
    contexts = {
        "authority": lambda: Authority(tmp_path, "another authority").server("127.0.0.1"),
        "name": lambda: authority.server("example.com", "127.0.0.2"),
        "date": lambda: authority.server("127.0.0.1", expires_in=-datetime.timedelta(days=1)),
    }
    with HttpReceiver(tmp_path, tls=contexts[fault]()) as receiver:
        with pytest.raises(SourceUnavailable, match=told) as caught:
            await fetch_bytes(transfers, receiver.url + "/a.png")
        assert not caught.value.is_retryable
        assert mends in caught.value.hint
        for kind in ("put", "form"):
            place = destination(kind, _login_url(receiver, "/upload.html"), name="x.png")
            with pytest.raises(DeliveryFailed, match=told) as refused:
                await deliver_bytes(transfers, place, b"x", write())
            assert not refused.value.is_retryable
            assert mends in refused.value.hint
            assert "s3cret" not in refused.value.sentence()
        assert not receiver.log.all()


async def test_without_a_ca_file_certifi_judges(secure: HttpReceiver) -> None:
    transfers = Transfers(Config(allow_networks=LOOPBACK), Limits(), read_page)
    with pytest.raises(SourceUnavailable, match="not trusted"):
        await fetch_bytes(transfers, secure.url + "/a.png")
    await transfers.aclose()


async def test_a_server_without_tls_is_definite(transfers: Transfers, plain: HttpReceiver) -> None:
    url = plain.url.replace("http:", "https:") + "/x.png"
    with pytest.raises(DeliveryFailed, match="TLS"):
        await deliver_bytes(transfers, destination("put", url), b"x", write())
    assert not plain.log.all()


async def test_http_may_lead_to_https(transfers: Transfers, plain: HttpReceiver, secure: HttpReceiver) -> None:
    plain.behave("/go", Behaviour(status=302, redirect=secure.url + "/a.png"))
    assert await fetch_bytes(transfers, plain.url + "/go") == b"picture"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_https_never_leads_to_http(
    transfers: Transfers, plain: HttpReceiver, secure: HttpReceiver, status: int
) -> None:
    secure.behave("/go", Behaviour(status=status, redirect=plain.url + "/upload.html"))
    with pytest.raises(SourceUnavailable, match="from https") as caught:
        await fetch_bytes(transfers, secure.url + "/go")
    assert not caught.value.is_retryable
    with pytest.raises(DeliveryFailed, match="from https"):
        await deliver_bytes(transfers, destination("form", secure.url + "/go", name="x.png"), b"x", write())
    assert not plain.log.all()


@pytest.mark.parametrize("status", [307, 308])
async def test_a_put_is_not_repeated_without_tls(
    transfers: Transfers, plain: HttpReceiver, secure: HttpReceiver, status: int
) -> None:
    secure.behave("/x.png", Behaviour(status=status, redirect=plain.url + "/x.png"))
    with pytest.raises(DeliveryFailed, match="not followed"):
        await deliver_bytes(transfers, destination("put", secure.url + "/x.png"), b"x", write("failed"))
    assert not plain.log.all()
    plain.behave("/x.png", Behaviour(status=status, redirect=secure.url + "/y.png"))
    await deliver_bytes(transfers, destination("put", plain.url + "/x.png"), b"y", write("failed"))
    assert (secure.directory / "y.png").read_bytes() == b"y"


async def test_a_chain_that_came_to_https_stays_there(
    transfers: Transfers, plain: HttpReceiver, secure: HttpReceiver
) -> None:
    plain.behave("/up", Behaviour(status=302, redirect=secure.url + "/down"))
    secure.behave("/on", Behaviour(status=302, redirect="down"))
    secure.behave("/down", Behaviour(status=302, redirect=plain.url + "/upload.html"))
    with pytest.raises(SourceUnavailable, match="from https"):
        await fetch_bytes(transfers, plain.url + "/up")
    plain.behave("/up", Behaviour(status=302, redirect=secure.url + "/on"))
    with pytest.raises(SourceUnavailable, match="from https"):
        await fetch_bytes(transfers, plain.url + "/up")
    with pytest.raises(DeliveryFailed, match="from https"):
        await deliver_bytes(transfers, destination("form", plain.url + "/up", name="x.png"), b"x", write())
    assert [event.name for event in plain.log.all()] == ["/up"] * 3
    secure.behave("/down", Behaviour(status=302, redirect="/a.png"))
    assert await fetch_bytes(transfers, plain.url + "/up") == b"picture"


async def test_a_login_goes_to_its_own_origin_alone(transfers: Transfers, plain: HttpReceiver, tmp_path: Path) -> None:
    with ExitStack() as stack:
        other = stack.enter_context(HttpReceiver(_shelf(tmp_path / "other")))
        plain.behave("/go", Behaviour(status=307, redirect=other.url + "/a.png"))
        plain.behave("/here", Behaviour(status=307, redirect="/a.png"))
        await fetch_bytes(transfers, _login_url(plain, "/here"))
        await fetch_bytes(transfers, _login_url(plain, "/go"))
        await deliver_bytes(transfers, destination("put", _login_url(plain, "/go")), b"x", write("failed"))
        plain.behave("/go", Behaviour(status=302, redirect=other.url + "/upload.html"))
        await deliver_bytes(
            transfers, destination("form", _login_url(plain, "/go"), name="x.png"), b"x", write("failed")
        )
        assert [event.kind for event in other.log.all()] == ["GET", "PUT", "GET", "POST"]
        assert [event.login for event in other.log.all()] == [""] * 4
    assert all(event.login.startswith("Basic ") for event in plain.log.all())
