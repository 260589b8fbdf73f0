"""Everything through a proxy, and only when the operator says so. A real proxy that logs what it is asked for."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from examples.ftp_receiver import FtpReceiver
from examples.receivers import Behaviour, HttpReceiver

from imgserve.request.limits import Limits
from imgserve.transfer.client.proxy import parse_proxy
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryFailed, DestinationRefused, SourceRefused, SourceUnavailable
from tests.support.certificates import Authority
from tests.support.proxying import LittleProxy
from tests.support.transfers import LOOPBACK, deliver_bytes, destination, fetch_bytes, read_page, source, write
from tests.support.vsftpd import Vsftpd

Through = Callable[..., AbstractAsyncContextManager[Transfers]]
NAMES = {"pictures.test": "127.0.0.1"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "a.png").write_bytes(b"picture")
    return tmp_path / "shelf"


@pytest.fixture
def plain(shelf: Path) -> Iterator[HttpReceiver]:
    with HttpReceiver(shelf) as receiver:
        yield receiver


@pytest.fixture
def secure(shelf: Path, authority: Authority) -> Iterator[HttpReceiver]:
    with HttpReceiver(shelf, tls=authority.server("127.0.0.1", "pictures.test")) as receiver:
        yield receiver


@pytest.fixture
def through(authority: Authority) -> Through:
    @asynccontextmanager
    async def made(proxy: str, *networks: str) -> AsyncIterator[Transfers]:
        config = Config(allow_networks=networks, ca_file=str(authority.ca_file), proxy=proxy)
        transfers = Transfers(config, Limits(), read_page)
        yield transfers
        await transfers.aclose()

    return made


def named(receiver: HttpReceiver) -> str:
    return receiver.url.replace("127.0.0.1", "pictures.test")


@pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
async def test_http_and_https_in_and_out(
    plain: HttpReceiver, secure: HttpReceiver, authority: Authority, through: Through, scheme: str
) -> None:  # fmt: skip
    """By a name that only the proxy knows, and without --allow-network: the proxy's own address needs none."""
    tls = authority.server("127.0.0.1") if scheme == "https" else None
    with LittleProxy(NAMES, tls=tls) as proxy:
        async with through(f"{scheme}://127.0.0.1:{proxy.port}") as transfers:
            for receiver in (plain, secure):
                assert await fetch_bytes(transfers, named(receiver) + "/a.png") == b"picture"
                await deliver_bytes(transfers, destination("put", named(receiver) + "/x.png"), b"put", write())
                form = destination("form", named(receiver) + "/upload.html", name="y.png")
                await deliver_bytes(transfers, form, b"post", write())
                assert (receiver.directory / "x.png").read_bytes() == b"put"
                assert (receiver.directory / "uploads/y.png").read_bytes() == b"post"
                (receiver.directory / "x.png").unlink()
        log = set(proxy.log)
    if scheme == "socks5h":
        assert log == {f"SOCKS5 pictures.test:{plain.port}", f"SOCKS5 pictures.test:{secure.port}"}
    else:
        assert {f"GET {named(plain)}/a.png", f"PUT {named(plain)}/x.png", f"POST {named(plain)}/take"} <= log
        assert {one for one in log if str(secure.port) in one} == {f"CONNECT pictures.test:{secure.port}"}


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
@pytest.mark.parametrize("tls", ["", "explicit", "implicit"])
async def test_ftp_goes_through_a_tunnel(
    shelf: Path, authority: Authority, tmp_path: Path, through: Through, scheme: str, tls: str
) -> None:  # fmt: skip
    pem = authority.server_file("127.0.0.1")
    own = authority.server("127.0.0.1") if scheme == "https" else None
    with LittleProxy(tls=own) as proxy, Vsftpd(shelf, tmp_path / "v", tls=tls, certificate=pem) as ftp:  # type: ignore[arg-type]
        async with through(f"{scheme}://127.0.0.1:{proxy.port}", *LOOPBACK) as transfers:
            assert await fetch_bytes(transfers, ftp.url + "/a.png") == b"picture"
            await deliver_bytes(transfers, destination("ftp", ftp.url + "/x.png"), b"stored", write())
        verb = "SOCKS5" if scheme == "socks5" else "CONNECT"
        assert f"{verb} 127.0.0.1:{ftp.port}" in proxy.log
        assert len(proxy.log) >= 3, "the data connections too"
        assert all(one.startswith(verb) for one in proxy.log)
    assert (shelf / "x.png").read_bytes() == b"stored"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "2130706433", "0x7f.1", "[::1]", "localhost", "a.localhost."]
)
async def test_what_the_text_tells_is_still_refused(plain: HttpReceiver, through: Through, host: str) -> None:
    url = f"http://{host}:{plain.port}"
    with LittleProxy(NAMES | {"a.localhost.": "127.0.0.1"}) as proxy:
        async with through(f"http://127.0.0.1:{proxy.port}") as transfers:
            with pytest.raises(SourceRefused):
                transfers.check_source(source(url + "/a.png"))
            with pytest.raises(SourceRefused):
                await fetch_bytes(transfers, url + "/a.png")
            with pytest.raises(DestinationRefused):
                await deliver_bytes(transfers, destination("put", url + "/x.png"), b"x", write())
            plain.behave("/go", Behaviour(status=302, redirect=url + "/a.png"))
            with pytest.raises(SourceRefused):
                await fetch_bytes(transfers, named(plain) + "/go")
            plain.behave("/again", Behaviour(status=307, redirect=url + "/x.png"))
            with pytest.raises(DestinationRefused):
                await deliver_bytes(transfers, destination("put", named(plain) + "/again"), b"x", write())
        assert proxy.log == [f"GET {named(plain)}/go", f"PUT {named(plain)}/again"]


async def test_what_is_opened_passes(plain: HttpReceiver, through: Through) -> None:
    with LittleProxy() as proxy:
        async with through(f"http://127.0.0.1:{proxy.port}", *LOOPBACK) as transfers:
            plain.behave("/go", Behaviour(status=302, redirect=plain.url + "/a.png"))
            assert await fetch_bytes(transfers, plain.url + "/go") == b"picture"
        assert proxy.log == [f"GET {plain.url}/go", f"GET {plain.url}/a.png"]


async def test_variables_name_no_proxy_and_take_none_away(
    plain: HttpReceiver, secure: HttpReceiver, through: Through, monkeypatch: pytest.MonkeyPatch, shelf: Path
) -> None:  # fmt: skip
    with LittleProxy() as proxy, FtpReceiver(shelf) as ftp:
        for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ftp_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with through("", *LOOPBACK) as transfers:
            for base in (plain.url, secure.url, ftp.url):
                await fetch_bytes(transfers, base + "/a.png")
        assert not proxy.log
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with through(f"http://127.0.0.1:{proxy.port}", *LOOPBACK) as transfers:
            for base in (plain.url, secure.url):
                await fetch_bytes(transfers, base + "/a.png")
        assert len(proxy.log) == 2


async def test_the_proxy_has_its_own_login(plain: HttpReceiver, secure: HttpReceiver, through: Through) -> None:
    with LittleProxy(NAMES) as proxy:
        async with through(f"http://me:pr0xy@127.0.0.1:{proxy.port}") as transfers:
            for receiver in (plain, secure):
                url = named(receiver).replace("//", "//user:s3cret@") + "/x.png"
                await deliver_bytes(transfers, destination("put", url), b"x", write("failed"))
        assert all(b"Proxy-Authorization: Basic bWU6cHIweHk=" in head for head in proxy.heads)
        [tunnel] = [head for head in proxy.heads if head.startswith(b"CONNECT")]
        assert b"\r\nAuthorization" not in tunnel
        assert b"X-Imgserve-State" not in tunnel
    assert {event.login for event in [*plain.log.all(), *secure.log.all()]} == {"Basic dXNlcjpzM2NyZXQ="}
    assert "pr0xy" not in repr(Config(proxy="http://me:pr0xy@h:1")) + repr(parse_proxy("http://me:pr0xy@h:1"))


@pytest.mark.parametrize(("status", "heals"), [(403, False), (407, False), (502, True)])
async def test_a_proxy_that_says_no(secure: HttpReceiver, through: Through, status: int, heals: bool) -> None:
    with LittleProxy(NAMES, refusal=status) as proxy:
        async with through(f"http://me:pr0xy@127.0.0.1:{proxy.port}") as transfers:
            with pytest.raises(SourceUnavailable, match=f"proxy.*{status}") as one:
                await fetch_bytes(transfers, named(secure) + "/a.png")
            with pytest.raises(DeliveryFailed, match=f"proxy.*{status}") as other:
                await deliver_bytes(transfers, destination("put", named(secure) + "/x.png"), b"x", write())
    assert one.value.is_retryable == other.value.is_retryable == heals
    assert "pr0xy" not in one.value.sentence() + other.value.sentence()


async def test_without_its_proxy_nothing_goes_out(plain: HttpReceiver, through: Through) -> None:
    with LittleProxy() as gone:
        url = f"http://127.0.0.1:{gone.port}"
    async with through(url, *LOOPBACK) as transfers:
        with pytest.raises(SourceUnavailable) as caught:
            await fetch_bytes(transfers, plain.url + "/a.png")
    assert caught.value.is_retryable
    assert not plain.log.all()


@pytest.mark.parametrize(
    "text", ["proxy:3128", "http://proxy", "ftp://proxy:21", "http://proxy:1/path", "http://:1", "u:s3cret@h"]
)
def test_what_is_no_proxy(text: str) -> None:
    [problem] = Config(proxy=text).problems()
    assert problem.field == "proxy"
    assert problem.sentence.startswith("expected scheme://host:port")
    assert "@" not in problem.sentence
    assert "s3cret" not in problem.sentence
