"""What no URL of a mount reaches: addresses that the guard forbids, hosts that its list does not name, files above its
directory. Each has a twin that arrives.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from examples.receivers import Behaviour

from tests.hostile.ssrf_cases import PLACES
from tests.support.daemon import wait_until
from tests.support.getting import KEY, SALT, Gets, gets, imgproxy_signed

# Signed URLs may name any source: the guard alone is in their way.
OPEN = """
[get.imgproxy]
path = "/"
key_file = "DIR/../key"
salt_file = "DIR/../salt"
[get.thumbor]
path = "/thumbor"
allow_unsigned = true
sources = ["http://127.0.0.1:PORT/", "http://localhost:PORT/"]
"""
LISTED = """
[get.imgproxy]
path = "/"
key_file = "DIR/../key"
salt_file = "DIR/../salt"
sources = ["WEB/shop/", "file://DIR/shop/"]
base_url = "file://DIR/shop"
names = {goods = "WEB/shop/", files = "file://DIR/shop"}
[get.thumbor]
path = "/thumbor"
allow_unsigned = true
sources = ["WEB/shop/"]
base_url = "WEB/shop/"
[get.iiif]
path = "/iiif"
allow_unsigned = true
sources = ["file://DIR/shop/"]
base_url = "file://DIR/shop/"
names = {files = "file://DIR/shop"}
"""


def opened(top_maker: pytest.TempPathFactory, name: str, tables: str, *, is_closed: bool = False) -> Iterator[Gets]:
    top = top_maker.mktemp(name)
    (top / "key").write_text(KEY)
    (top / "salt").write_text(SALT)
    with gets(top, tables, is_closed=is_closed) as server:
        for place in ("shop/in.jpg", "shop/deep/in.jpg", "shop/sub.d/in.jpg", "shopping/out.jpg", "out.jpg"):
            server.put(place)
        yield server


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    """With the guard's defaults."""
    yield from opened(tmp_path_factory, "closed", OPEN, is_closed=True)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    """Which may reach this machine."""
    yield from opened(tmp_path_factory, "listed", LISTED)


def plain(source: str) -> str:
    return imgproxy_signed("/rs:fit:20:20/plain/" + quote(source, safe=""))


def encoded(source: str) -> str:
    return imgproxy_signed("/rs:fit:20:20/" + urlsafe_b64encode(source.encode()).decode().rstrip("="))


def test_no_address_that_the_guard_forbids_is_reached(closed: Gets, listed: Gets) -> None:
    """imgproxy CVE-2023-30019, and what its guard of 4.0.12 let through: addresses of IPv4 in those of IPv6."""
    port = closed.web.port
    urls = [f"http://{place.removesuffix(':80')}:{port}/photo.jpg" for place in PLACES if not place.endswith(".test")]
    with closed.client() as client:
        answers = {url: [client.get(form(url)) for form in (plain, encoded)] for url in urls}
        answers |= {url: [client.get(f"/thumbor/unsafe/20x0/{quote(url, safe='')}")] for url in urls[:3]}
    assert {reply.status for replies in answers.values() for reply in replies} <= {400, 404}
    assert {reply["cache-control"] for replies in answers.values() for reply in replies} == {"no-store"}
    assert (closed.web.connections, closed.other.connections) == (0, 0)
    before = listed.web.connections
    assert listed.get(plain(f"{listed.web.url}/shop/in.jpg")).status == 200
    assert listed.web.connections > before


def test_a_listed_name_of_this_machine_is_not_reached_either(closed: Gets) -> None:
    """The list says what may be shown, and the guard what may be connected to."""
    for host in ("localhost", "127.0.0.1"):
        reply = closed.get(f"/thumbor/unsafe/20x0/http%3A%2F%2F{host}%3A{closed.web.port}%2Fphoto.jpg")
        assert reply.status == 400
    assert closed.web.connections == 0


@pytest.mark.parametrize("scheme", ["gopher", "dict", "ldap", "javascript", "data", "smb", "telnet"])
def test_no_other_scheme(closed: Gets, scheme: str) -> None:
    assert closed.get(encoded(f"{scheme}://127.0.0.1:{closed.web.port}/photo.jpg")).status == 404
    assert closed.web.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_goes_through_the_guard(listed: Gets, status: int) -> None:
    """To an address, a scheme, and a file. A redirect on the same host is followed."""
    name = f"shop/to{status}"
    targets = ("http://10.0.0.1/x.jpg", "http://169.254.169.254/x", "file:///etc/passwd", "gopher://127.0.0.1/x",
               "http://[::ffff:10.0.0.1]/x.jpg")  # fmt: skip
    for number, target in enumerate(targets):
        listed.web.behave(f"/{name}{number}.jpg", Behaviour(status=status, redirect=target))
        reply = listed.get(plain(f"goods:to{status}{number}.jpg"))
        assert reply.status in (404, 502), target
        assert reply["cache-control"] == "no-store"
    listed.web.behave(f"/{name}.jpg", Behaviour(status=status, redirect="/shop/in.jpg"))
    assert listed.get(plain(f"goods:to{status}.jpg")).status == 200


ABOVE = (
    "../out.jpg", "..%2Fout.jpg", "%2e%2e/out.jpg", "%2E%2E%2Fout.jpg", "..%252Fout.jpg", "%252e%252e/out.jpg",
    "%25252e%25252e%25252fout.jpg", "deep/../../out.jpg", "./../out.jpg", "deep/..%2f..%2fout.jpg", "..\\out.jpg",
    "..%5Cout.jpg", "%2e%2e%5cout.jpg", ".%2e/out.jpg", "..;/out.jpg", "..%00/out.jpg", "..%c0%afout.jpg",
    "//out.jpg/../../out.jpg", "deep%2f%2e%2e%2f%2e%2e%2fout.jpg", "in.jpg/../../out.jpg", "..%2f..%2f..%2fetc/passwd",
)  # fmt: skip


@pytest.mark.parametrize("path", ABOVE)
def test_no_spelling_leads_above_the_directory_of_a_mount(listed: Gets, path: str) -> None:
    """IIIF: identifiers are names and no paths. The same beneath a base URL, and behind a short name."""
    before = len(listed.web.log.all())
    with listed.client() as client:
        for form in (
            f"/iiif/3/{path}/full/max/0/default.jpg", f"/iiif/3/{path.replace('/', '%2F')}/full/max/0/default.jpg",
            f"/iiif/2/{quote(path, safe='')}/info.json", f"/iiif/3/files:{quote(path, safe='')}/info.json",
            f"/iiif/3/{quote(path, safe='')}", f"/thumbor/unsafe/20x0/{path}", f"/thumbor/unsafe/20x0/{quote(path)}",
            imgproxy_signed(f"/plain/{path}"), plain(path), encoded(path), plain(f"files:{path}"),
            plain(f"goods:{path}"), encoded(f"goods:{path}"), plain(f"{listed.web.url}/shop/{path}"),
            plain(f"file://{listed.directory}/shop/{path}"),
        ):  # fmt: skip
            reply = client.get(form)
            assert reply.status in (303, 400, 404), (form, reply)
            assert b"root:" not in reply.body
    fetched = [event.name for event in listed.web.log.all()[before:]]
    assert [name for name in fetched if not name.startswith("/shop/") or ".." in name] == []


def test_names_below_the_directory_are_pictures(listed: Gets) -> None:
    with listed.client() as client:
        for form in (
            "/iiif/3/in.jpg/full/20,/0/default.jpg", "/iiif/3/deep%2Fin.jpg/full/20,/0/default.jpg",
            "/iiif/3/sub.d%2Fin.jpg/full/20,/0/default.jpg", "/iiif/3/files:in.jpg/full/20,/0/default.jpg",
            "/thumbor/unsafe/20x0/in.jpg", "/thumbor/unsafe/20x0/deep/in.jpg", "/thumbor/unsafe/20x0/deep%2Fin.jpg",
            plain("in.jpg"), plain("deep/in.jpg"), encoded("files:deep/in.jpg"), plain("goods:deep/in.jpg"),
            plain(f"{listed.web.url}/shop/in.jpg"), plain(f"file://{listed.directory}/shop/in.jpg"),
        ):  # fmt: skip
            assert client.get(form).size == (20, 15), form
        assert client.get("/iiif/3/in.jpg").status == 303


def outside(listed: Gets) -> list[str]:
    port, host = listed.web.port, f"127.0.0.1:{listed.web.port}"
    return [
        f"{listed.web.url}/out.jpg", f"{listed.web.url}/shopping/out.jpg", f"{listed.web.url}/shop.jpg",
        f"{listed.other.url}/shop/in.jpg", f"http://127.0.0.1.evil.test:{port}/shop/in.jpg",
        f"http://127.0.0.1:{port}0/shop/in.jpg", f"http://user@{host}/shop/in.jpg", f"http://{host}@evil.test/shop/in.jpg",
        f"http://evil.test\\@{host}/shop/in.jpg", f"http://{host}\\@evil.test/shop/in.jpg",
        f"http://{host}#@evil.test/shop/in.jpg", f"https://{host}/shop/in.jpg", f"ftp://{host}/shop/in.jpg",
        f"http://localhost:{port}/shop/in.jpg", f"http://127.0.0.2:{port}/shop/in.jpg", f"http://{host}/SHOP/in.jpg",
        f"http://{host}/shop/../out.jpg", f"http://{host}/./out.jpg", f"file://{listed.directory}/out.jpg",
        f"file://{listed.directory}/shopping/out.jpg", "file:///etc/passwd", "local:///etc/passwd", "s3://bucket/a.jpg",
    ]  # fmt: skip


def test_a_source_must_be_on_the_list(listed: Gets) -> None:
    """Hosts are compared whole, and paths by their segments (thumbor 6887671, imgproxy's prefixes as texts)."""
    before = [web.connections for web in (listed.web, listed.other)]
    with listed.client() as client:
        for source in outside(listed):
            for form in (plain, encoded):
                reply = client.get(form(source))
                assert (reply.status, reply["cache-control"]) == (404, "no-store"), source
                assert reply.body in (b"Invalid source URL", b"Source is unreachable", b"Invalid URL"), source
            assert client.get(f"/thumbor/unsafe/20x0/{quote(source, safe='')}").status == 400, source
    assert [web.connections for web in (listed.web, listed.other)] == before


def test_a_watermark_is_a_source_too(listed: Gets) -> None:
    """thumbor 5d95e70: filters that fetch a picture ignored the list."""
    red = (200, 0, 0)
    listed.put("shop/logo.png", (listed.directory / "logo.png").read_bytes())
    before = len(listed.web.log.all())
    with listed.client() as client:
        for source in (*outside(listed), "../out.jpg", "%2e%2e/out.jpg"):
            written = quote(source, safe="")
            path = f"/thumbor/unsafe/40x0/filters:watermark({written},0,0,0)/in.jpg"
            assert client.get(path).status == 400, source
        assert [event.name for event in listed.web.log.all()[before:] if event.name != "/shop/in.jpg"] == []
        for source in ("logo.png", f"{listed.web.url}/shop/logo.png"):
            path = f"/thumbor/unsafe/40x0/filters:watermark({quote(source, safe='')},0,0,0)/in.jpg"
            drawn = client.get(path).picture.convert("RGB").getpixel((8, 8))
            assert isinstance(drawn, tuple)
            assert drawn[0] > red[0]
            assert drawn[1] < 60


def leads(listed: Gets, path: str, target: str, status: int = 302) -> None:
    listed.web.behave(f"/{path}", Behaviour(status=status, redirect=target))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_stays_within_the_list(listed: Gets, status: int) -> None:
    """imagor #240, imageproxy #237: else each host on a list may choose hosts that are not on it."""
    before = listed.other.connections
    outside = {
        "host": f"{listed.other.url}/shop/in.jpg", "relative": f"//127.0.0.1:{listed.other.port}/shop/in.jpg",
        "path": "/out.jpg", "above": "../out.jpg", "encoded": "/shop/%2e%2e/out.jpg",
        "twice": "/shop/%252e%252e/out.jpg", "beside": "/shopping/out.jpg", "login": f"http://user@127.0.0.1:{listed.other.port}/shop/in.jpg",
        "name": f"http://localhost:{listed.web.port}/shop/in.jpg",
        "backslash": f"\\\\127.0.0.1:{listed.other.port}/shop/in.jpg",
    }  # fmt: skip
    for word, target in outside.items():
        leads(listed, f"shop/{status}-{word}", target, status)
        reply = listed.get(plain(f"goods:{status}-{word}.jpg"))
        assert (reply.status, reply["cache-control"]) == (404, "no-store"), target
        assert reply.body == b"Invalid source URL"
        assert listed.get(f"/thumbor/unsafe/20x0/{status}-{word}.jpg").status == 400, target
    inside = {
        "absolute": f"{listed.web.url}/shop/in.jpg",
        "slash": "/shop/deep/in.jpg",
        "bare": "deep/in.jpg",
        "up": "deep/../in.jpg",
    }
    for word, target in inside.items():
        leads(listed, f"shop/{status}-{word}", target, status)
        assert listed.get(plain(f"goods:{status}-{word}.jpg")).size == (20, 15), target
    assert listed.other.connections == before
    assert {event.name for event in listed.web.log.all()}.isdisjoint({"/out.jpg", "/shopping/out.jpg"})


def test_each_redirect_of_a_chain_is_judged(listed: Gets) -> None:
    """Also one that comes back to the list: the host in between would learn of the request."""
    away, back = f"{listed.other.url}/away.jpg", f"{listed.web.url}/shop/in.jpg"
    leads(listed, "shop/chain1", "chain2.jpg")
    leads(listed, "shop/chain2", "/shop/chain3.jpg")
    leads(listed, "shop/chain3", "in.jpg")
    assert listed.get(plain("goods:chain1.jpg")).size == (20, 15)
    leads(listed, "shop/far1", "far2.jpg")
    leads(listed, "shop/far2", away)
    listed.other.behave("/away", Behaviour(status=302, redirect=back))
    before = listed.other.connections
    assert listed.get(plain("goods:far1.jpg")).status == 404
    assert listed.other.connections == before


def test_the_log_alone_names_the_host_of_a_redirect(listed: Gets) -> None:
    leads(listed, "shop/logged", f"{listed.other.url}/secret-path.jpg?signature=secret-query")
    reply = listed.get(plain("goods:logged.jpg"))
    assert b"127.0.0.1" not in reply.body
    words = (reply["x-request-id"], "source_refused", f"redirects to 127.0.0.1:{listed.other.port}")
    wait_until(lambda: any(all(word in line for word in words) for line in listed.server.log.splitlines()))
    assert "secret" not in listed.server.log


def test_a_redirect_of_a_watermark_is_judged_too(listed: Gets) -> None:
    leads(listed, "shop/mark-away", f"{listed.other.url}/logo.png")
    leads(listed, "shop/mark-here", "/shop/logo.png")
    listed.put("shop/logo.png", (listed.directory / "logo.png").read_bytes())
    before = listed.other.connections
    assert listed.get("/thumbor/unsafe/40x0/filters:watermark(mark-away.png,0,0,0)/in.jpg").status != 200
    assert listed.other.connections == before
    assert listed.get("/thumbor/unsafe/40x0/filters:watermark(mark-here.png,0,0,0)/in.jpg").size == (40, 30)


SHARED = """
cache_fresh_s = 3600
[get.imgproxy]
path = "/"
key_file = "DIR/../key"
salt_file = "DIR/../salt"
[get.thumbor]
path = "/thumbor"
allow_unsigned = true
sources = ["WEB/shop/"]
base_url = "WEB/shop/"
"""


def test_a_mount_gets_no_source_that_only_another_ones_redirects_reach(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The cache of sources is shared. A mount without a list follows redirects to any host."""
    for site in opened(tmp_path_factory, "shared", SHARED):
        leads(site, "shop/away", f"{site.other.url}/shop/in.jpg")
        assert site.get(plain(f"{site.web.url}/shop/away.jpg")).size == (20, 15)
        assert site.get("/thumbor/unsafe/20x0/away.jpg").status == 400
        assert site.get(plain(f"{site.web.url}/shop/away.jpg")).size == (20, 15)
        assert site.fetches("shop/away.jpg") == [302, 302]
        assert len([event for event in site.other.log.all() if event.name == "/shop/in.jpg"]) == 1
        # URLs that are too long to be kept with a source, which is then fetched each time.
        for here, there in (("far", "bbb"), ("bbb", "ccc"), ("ccc", "ddd"), ("ddd", "eee")):
            leads(site, f"shop/{here}", f"/shop/{there}/{'long/' * 440}")
        leads(site, "shop/eee", "/shop/in.jpg")
        for width in (20, 40, 60):
            assert site.get(f"/thumbor/unsafe/{width}x0/far.jpg").size[0] == width
        assert site.fetches("shop/far.jpg") == [302, 302, 302]
        # What is on both lists is downloaded once.
        assert site.get("/thumbor/unsafe/20x0/in.jpg").size == (20, 15)
        assert site.get(plain(f"{site.web.url}/shop/in.jpg")).size == (20, 15)
        assert site.fetches("shop/in.jpg") == [200] * 4
