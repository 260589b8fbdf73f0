"""What has gone wrong in servers of this kind, each as a test that names where; and the poisoning of caches.

Elsewhere: addresses that a guard missed (imgproxy CVE-2023-30019, 4.0.12), filters that ignored the list of sources and
hosts compared as texts (thumbor 5d95e70, 6887671), and IIIF's ``../`` in ``test_get_sources``; open resizers and the
default key in ``tests/service/test_get_signed``; many URLs that fill a cache in ``tests/service/test_get_load``, and
imagor's ``max_age`` for anyone in ``tests/service/test_get_cache``.
"""

import gzip
import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from examples.receivers import Behaviour

from tests.hostile import bombs_raster as bombs
from tests.support.getting import EVIL_SVG, KEY, PHOTO, SALT, THUMBOR_KEY, Gets, Reply, gets, imgproxy_signed
from tests.support.getting import thumbor_signed as signed
from tests.support.pictures import svg

TABLES = """
source_timeout_s = 2
[get.imgproxy]
path = "/"
key_file = "DIR/../key"
salt_file = "DIR/../salt"
base_url = "WEB/"
allow_raw = true
signature_size = 8
[get.thumbor]
path = "/thumbor"
key_file = "DIR/../thumbor"
base_url = "WEB/"
negotiate = ["webp"]
[get.iiif]
path = "/iiif"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
"""
# What runs, and what is fetched from elsewhere; the name of the language of SVG itself is no reference.
ACTIVE = re.compile(
    rb"<script|\bon\w+\s*=|javascript:|@import|foreignObject|(href|src)\s*=\s*[\"'](?!#|data:image/)", re.I
)
CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    top = tmp_path_factory.mktemp("history")
    for name, text in (("key", KEY), ("salt", SALT), ("thumbor", THUMBOR_KEY)):
        (top / name).write_text(text)
    with gets(top, TABLES) as server:
        yield server


def url(rest: str) -> str:
    return imgproxy_signed(rest, size=8)


def thumbor(rest: str) -> str:
    return f"/thumbor{signed(rest)}"


def is_safe(reply: Reply) -> bool:
    return (reply["x-content-type-options"], reply["content-security-policy"]) == ("nosniff", CSP)


def test_imgproxy_cve_2023_1496_and_1708_no_svg_is_passed_on_as_it_is(site: Gets) -> None:
    """Scripts, handlers, javascript: in links, and references to the outside."""
    outside = svg(
        f'<style>@import url("{site.other.url}/a.css");</style>'
        f'<image href="{site.other.url}/a.png" width="9" height="9"/>'
        f'<filter id="f"><feImage href="{site.other.url}/b.png"/></filter><rect width="9" height="9" filter="url(#f)"/>'
        f'<use href="{site.other.url}/c.svg#x"/>'
    )
    site.put("outside.svg", outside)
    site.put("evil.jpg", EVIL_SVG)
    for name in ("evil.svg", "outside.svg", "evil.jpg"):
        for path in (
            url(f"/plain/{name}"), url(f"/f:svg/plain/{name}"), url(f"/plain/{name}@svg"),
            url(f"/skp:svg/plain/{name}"),
            url(f"/rs:fit:20:20/plain/{name}"), thumbor(name), thumbor(f"20x20/{name}"),
            f"/iiif/3/{name}/full/max/0/default.png",
        ):  # fmt: skip
            reply = site.get(path)
            assert is_safe(reply)
            if reply["content-type"] == "image/svg+xml":
                assert not ACTIVE.search(reply.body), (path, reply)
            else:
                assert reply["content-type"] in ("image/png", "image/jpeg", "image/webp"), (path, reply)
                assert reply.picture.size[0] in (40, 20)
                assert b"<svg" not in reply.body
    assert site.other.connections == 0


def test_raw_bytes_run_nowhere(site: Gets) -> None:
    """imagor served any bytes by ``raw``; imgproxy's option is off until the settings allow it."""
    any_bytes = "application/octet-stream"
    site.put("page.html", b"<!doctype html><script>alert(1)</script>")
    for name, kind in (("photo.jpg", "image/jpeg"), ("evil.svg", any_bytes), ("page.html", any_bytes)):
        reply = site.get(url(f"/raw:1/plain/{name}"))
        assert (reply.status, reply["content-type"]) == (200, kind)
        assert reply.body == (site.directory / name).read_bytes()
        assert is_safe(reply)
        assert site.get(url(f"/rs:fit:20:20/plain/{name}")).body != reply.body


def test_every_answer_of_a_mount_is_safe_to_open(site: Gets) -> None:
    for path in (
        url("/plain/photo.jpg"), url("/plain/missing.jpg"), "/unsafe/x", thumbor("photo.jpg"),
        thumbor("meta/photo.jpg"),
        thumbor("words.jpg"), "/iiif/3/photo.jpg", "/iiif/3/photo.jpg/info.json", "/iiif/3/a/b/c", "/nothing",
    ):  # fmt: skip
        replies = [site.get(path) for _ in range(3)]
        assert all(map(is_safe, (*replies, site.get(path, Range="bytes=999999-"), site.get(path, If_None_Match="*"))))
        assert not any(b"127.0.0.1" in reply.body for reply in replies if reply.status >= 400)


def test_imgproxy_4_0_12_broken_files_end_in_the_sandbox(site: Gets) -> None:
    """Its BMP reader wrote past its buffer. Bombs of pixels, frames and scans too; the server goes on."""
    broken = {
        "lies.bmp": bombs.bmp_that_says(60_000, 60_000), "huge.png": bombs.png(60_000, 60_000),
        "half.bmp": bombs.bmp(50, 50)[:-2000], "film.gif": bombs.gif(5000, 5000, 200),
        "huge.jpg": bombs.jpeg(60_000, 60_000),
        "loop.ico": bombs.ico_with_itself(50),
    }  # fmt: skip
    for name, data in broken.items():
        site.put(name, data)
        for path in (url(f"/rs:fit:20:20/plain/{name}"), thumbor(f"20x20/{name}"), f"/iiif/3/{name}/info.json"):
            reply = site.get(path)
            assert reply.status in (200, 400, 422), (name, reply)
            assert reply.status == 200 or reply["cache-control"] == "no-store"
    assert site.get(url("/rs:fit:21:21/plain/photo.jpg")).size[0] == 21


@contextmanager
def cutting(head: bytes, body: bytes) -> Iterator[str]:
    """A host that hangs up in the middle of its answer. Its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_imgproxy_4_0_12_a_source_that_is_cut_off_is_no_picture(site: Gets) -> None:
    """imagor issue 329: half a file was kept. Nothing is, and the next fetch is whole."""
    half = PHOTO[: len(PHOTO) // 2]
    with cutting(b"Content-Length: %d\r\n" % len(PHOTO), half) as shorter:
        first = site.get(url(f"/rs:fit:20:20/plain/{shorter}/a.jpg"))
    with cutting(b"Transfer-Encoding: chunked\r\n", b"%x\r\n" % len(half) + half + b"\r\n") as chunked:
        second = site.get(url(f"/rs:fit:20:20/plain/{chunked}/a.jpg"))
    site.put("zipped.jpg", gzip.compress(PHOTO)[:-200])
    site.web.behave("/zipped.jpg", Behaviour(headers={"Content-Encoding": "gzip"}))
    for reply in (first, second, site.get(url("/rs:fit:20:20/plain/zipped.jpg"))):
        assert reply.status in (404, 422, 502), reply
        assert reply["cache-control"] == "no-store"


def test_thumbor_e3ae3e2_the_signature_is_cut_from_its_own_place_alone(site: Gets) -> None:
    """It was removed wherever it stood, so that a URL with a second copy of it passed for a shorter one."""
    right = signed("20x20/photo.jpg").split("/")[1]
    assert site.get(f"/thumbor/{right}/20x20/photo.jpg").status == 200
    for path in (
        f"/thumbor/{right}/20x20/{right}/photo.jpg", f"/thumbor/{right}/{right}/20x20/photo.jpg",
        f"/thumbor/{right}/20x20/photo.jpg{right}", f"/thumbor/{right}/20x2{right}0/photo.jpg",
        f"/thumbor/{right}{right}/20x20/photo.jpg", f"/thumbor/20x20/photo.jpg/{right}",
        f"/thumbor/unsafe/{right}/20x20/photo.jpg", f"/thumbor/{right}/unsafe/20x20/photo.jpg",
        f"/thumbor/{right}/./20x20/photo.jpg", f"/thumbor/{right}//20x20/photo.jpg",
        f"/thumbor/{right}/20x20/photo%2Ejpg",
    ):  # fmt: skip
        assert (site.get(path).status, site.get(path).body) == (400, b"")


def test_thumbor_3f38fe1_447e192_2c71611_no_number_or_pattern_hangs_or_crashes(site: Gets) -> None:
    """A convolution of no columns, a proportion without a cap, expressions that backtrack."""
    long = "1;" * 2000
    filters = (
        "convolution(1;2;1,0,true)", "convolution(1;2;1,-1,true)", f"convolution({long}1,1,true)",
        "convolution(;;;;,3,true)",
        "proportion(1e9)", "proportion(999999999)", "proportion(-1)", "proportion(nan)", "blur(999999999)",
        "quality(-1)",
        "round_corner(9|9|9|9|9)", "watermark(" + "," * 3000 + ")", "(" * 3000, ":" * 3000, "rotate(inf)",
        "fill(" * 1000,
        "max_bytes(0)", "noise(99999999999)", "curve([(" * 300, "focal(" + "9x" * 1000 + ")",
        "format(" + "a" * 3000 + ")",
    )  # fmt: skip
    for text in filters:
        reply = site.get(thumbor(f"20x20/filters:{text}/photo.jpg"))
        # Not a filter, it is part of the source's name.
        assert reply.status in (200, 400, 404), (text, reply)
        assert reply.status != 200 or max(reply.size) <= 4000
    for options in (
        "w:" + "9" * 3000,
        "rs:" + ":" * 3000,
        "zoom:inf",
        "blur:1e308",
        "pd:-1",
        "crop:1e308:1",
        "w:99999/h:99999/el:1",
    ):
        assert site.get(url(f"/{options}/plain/photo.jpg")).status in (404, 422), options
    assert site.get(url("/dpr:1e9/plain/photo.jpg")).size == (320, 240)  # nothing is enlarged without being asked for
    for region in ("9" * 3000 + ",0,1,1", "pct:" + "9" * 400 + ",0,1,1", "1e9,1,1,1", "pct:nan,0,1,1"):
        assert site.get(f"/iiif/3/photo.jpg/{region}/max/0/default.jpg").status == 400
    for size in ("9" * 3000 + ",", "^99999,99999", "pct:1e9", "^pct:" + "9" * 300):
        assert site.get(f"/iiif/3/photo.jpg/full/{size}/0/default.jpg").status == 400


def test_a_host_that_is_silent_is_a_time_out(site: Gets) -> None:
    """And no load of this server's own."""
    site.web.behave("/silent", Behaviour(never=True))
    paths = (url("/plain/silent1.jpg"), thumbor("silent2.jpg"), "/iiif/3/silent3.jpg/full/max/0/default.jpg")
    with ThreadPoolExecutor(3) as threads:
        replies = [*threads.map(site.get, paths)]
    assert [(reply.status, reply["cache-control"]) for reply in replies] == [(504, "no-store")] * 3


def test_thumbors_default_key_is_none_here(site: Gets) -> None:
    rest = "20x20/photo.jpg"
    assert site.get("/thumbor" + signed(rest, "MY_SECURE_KEY")).status == 400
    assert site.get("/thumbor" + signed(rest, "")).status == 400
    assert site.get(f"/thumbor/unsafe/{rest}").status == 400


def test_thumbors_jsonp_is_left_out(site: Gets) -> None:
    """Its callback's name was not checked."""
    reply = site.get(thumbor("meta/20x20/photo.jpg") + "?callback=alert(1)//")
    assert (reply.status, reply["content-type"]) == (200, "application/json")
    assert json.loads(reply.body)
    assert b"alert" not in reply.body


def test_signatures_are_of_the_raw_path_and_of_their_size(site: Gets) -> None:
    """One of eight bytes here: a longer or a shorter one is wrong, and so is one for what the path decodes to."""
    rest = "/rs:fit:20:20/plain/photo.jpg"
    assert site.get(url(rest)).status == 200
    assert site.get(imgproxy_signed(rest)).status == 403
    assert site.get(imgproxy_signed(rest, size=7)).status == 403
    signature = url(rest).split("/")[1]
    for other in (
        rest.replace("o", "%6f"),
        rest + "?",
        rest.replace("/plain", "//plain"),
        rest.replace(":20", ":020", 1),
    ):
        answer = site.get(f"/{signature}{other}")
        assert answer.status == (200 if other.endswith("?") else 403)
    assert site.get(url(rest.replace("photo", "ph%6fto"))).status == 200


POISONS = (
    {"Host": "evil.test"}, {"X-Forwarded-Host": "evil.test"}, {"X-Forwarded-Proto": "gopher"}, {"X-Forwarded-For": "x"},
    {"X-Forwarded-Prefix": "/evil"}, {"X-Original-URL": "/v1/jobs"}, {"X-Rewrite-URL": "/"},
    {"Forwarded": "host=evil.test"},
    {"Range": "bytes=0-3"}, {"Range": "bytes=999999-"}, {"If-None-Match": "*"}, {"If-Match": '"x"'}, {"If-Range": "x"},
    {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, {"Accept": "image/webp"}, {"Accept": "text/html"},
    {"Accept": "image/webp;q=,;\x80"}, {"Accept-Encoding": "gzip, br"}, {"Accept-Language": "xx"}, {"Cookie": "a=b"},
    {"Authorization": "Bearer x"}, {"Origin": "https://evil.test"}, {"Cache-Control": "no-store"}, {"DPR": "8"},
    {"Width": "1"}, {"Sec-CH-DPR": "8"}, {"X-HTTP-Method-Override": "POST"}, {"Expect": "100-continue"},
    {"X-Request-Id": "evil"}, {"TE": "trailers"}, {"Max-Forwards": "0"}, {"Connection": "close"},
)  # fmt: skip


@pytest.mark.parametrize("count", range(len(POISONS)))
def test_no_header_of_one_client_changes_the_answer_of_another(site: Gets, count: int) -> None:
    """The attacker asks first, and again between the requests of others."""
    poison = list(POISONS[count].items())
    name = f"poison{count:02}.jpg"
    site.put(name)
    paths = {
        url(f"/rs:fit:30:30/plain/{name}"): url("/rs:fit:30:30/plain/cleaning.jpg"),
        thumbor(f"30x30/{name}"): thumbor("30x30/cleaning.jpg"),
        f"/iiif/3/{name}/full/30,/0/default.jpg": "/iiif/3/cleaning.jpg/full/30,/0/default.jpg",
        f"/iiif/3/{name}/info.json": "/iiif/3/cleaning.jpg/info.json",
    }
    site.put("cleaning.jpg")
    for path, clean in paths.items():
        for _ in range(2):
            with site.client() as attacker:
                assert attacker.ask(path, headers=poison).status in (200, 206, 304, 416)
            assert plain(site.get(path), name) == plain(site.get(clean), "cleaning.jpg")


def plain(reply: Reply, name: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Without what is each answer's own."""
    own = ("date", "x-request-id", "etag")
    stem = name.removesuffix(".jpg")
    headers = [(field, value.replace(stem, "NAME")) for field, value in reply.headers if field not in own]
    return reply.status, headers, reply.body.replace(stem.encode(), b"NAME")
