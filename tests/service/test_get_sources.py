"""Answers of a mount that are the source's own bytes: SVGs made safe, ``skip_processing``, and ``raw``."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from examples.receivers import Behaviour, HttpReceiver
from PIL import Image

from tests.service.conftest import opened
from tests.support.daemon import LOOPBACK, Daemon
from tests.support.pictures import encoded, scene, svg
from tests.support.pools import without_module
from tests.support.sizes import PATIENCE_S

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
PHOTO = encoded(scene(320, 240), "jpeg")
EVIL = svg(
    '<script>steal()</script><image href="http://evil.test/x"/><rect width="40" height="20" fill="#00ff00"'
    ' onclick="steal()"/><a href="javascript:steal()"><g/></a>'
)
MOUNTS = """
[get.imgproxy]
path = "/"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
allow_raw = true
allow_security_options = true
[get.thumbor]
path = "/thumbor"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
imagor = true
allow_raw = true
"""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Site(NamedTuple):
    server: Daemon
    web: HttpReceiver
    directory: Path

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.server.url.removeprefix("http://"), timeout=PATIENCE_S)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, named, response.read())
        connection.close()
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == POLICY
        return answer

    def fetches(self, name: str) -> int:
        return sum(event.name == f"/{name}" for event in self.web.log.all())


@contextmanager
def serving(top: Path, tables: str = MOUNTS, program: tuple[str, ...] = ("-m", "imgserve")) -> Iterator[Site]:
    directory = top / "sources"
    directory.mkdir()
    sources = {
        "photo.jpg": PHOTO,
        "evil.svg": EVIL,
        "page.html": b"<script>steal()</script>" * 9,
        "long.bin": b"x" * 9999,
    }
    sources["wide.png"] = encoded(Image.new("RGB", (20_000, 40), (9, 9, 200)), "png")
    for name, data in sources.items():
        (directory / name).write_bytes(data)
    with HttpReceiver(directory) as web:
        config = top / "imgserve.toml"
        config.write_text(tables.replace("WEB", web.url))
        with Daemon(top / "data", *LOOPBACK, "--config", str(config), program=program) as server:
            yield Site(server, web, directory)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("sources")) as site:
        yield site


@pytest.mark.parametrize("path", ["/_/plain/evil.svg", "/_/plain/evil.svg@svg", "/_/skp:svg/w:9/plain/evil.svg"])
def test_an_svg_is_passed_on_safe(site: Site, path: str) -> None:
    for _ in range(2):  # rendered, and from the cache
        answer = site.get(path)
        assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")
        assert b"steal" not in answer.body
        assert b"evil.test" not in answer.body
        assert ElementTree.fromstring(answer.body)[1].attrib == {"width": "40", "height": "20", "fill": "#00ff00"}
    assert site.get(path, "HEAD").headers["content-type"] == "image/svg+xml"
    assert site.get(path, If_None_Match=answer.headers["etag"]).status == 304


def test_an_svg_with_a_format_is_drawn(site: Site) -> None:
    answer = site.get("/_/plain/evil.svg@png")
    assert answer.headers["content-type"] == "image/png"
    assert opened(answer.body).convert("RGB").getpixel((30, 10)) == (0, 255, 0)


def test_without_the_library_an_svg_is_drawn(tmp_path: Path) -> None:
    python = without_module("py_svg_hush", tmp_path)
    start = f"import sys; sys.executable = {str(python)!r}; from imgserve.__main__ import main; sys.exit(main())"
    with serving(tmp_path, program=("-c", start)) as site:
        answer = site.get("/_/plain/evil.svg")
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
        assert opened(answer.body).size == (40, 20)


def test_skip_processing_sends_the_source(site: Site) -> None:
    answer = site.get("/_/skp:jpg/w:9/plain/photo.jpg")
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "image/jpeg", PHOTO)
    assert site.get("/_/skp:png/w:9/plain/photo.jpg").body != PHOTO


def test_imagor_names_the_file_that_a_browser_saves(site: Site) -> None:
    """Also when it is a hit, which is the same picture as the one that is shown."""
    saved, shown = "/thumbor/unsafe/30x0/filters:attachment(cat.png)/photo.jpg", "/thumbor/unsafe/30x0/photo.jpg"
    for method in ("GET", "GET", "GET", "HEAD"):
        answer = site.get(saved, method)
        assert (answer.status, answer.headers["content-disposition"]) == (200, 'attachment; filename="cat.jpg"')
        assert "content-disposition" not in site.get(shown, method).headers
    assert site.get(saved).headers["etag"] == site.get(shown).headers["etag"]


@pytest.mark.parametrize("mount", ["/_/raw:1/plain", "/thumbor/unsafe/filters:raw()"])
class TestRaw:
    def test_a_picture(self, site: Site, mount: str) -> None:
        answer = site.get(f"{mount}/photo.jpg")
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "image/jpeg", PHOTO)
        assert not answer.headers.get("content-disposition", "").startswith("attachment")
        assert site.get(f"{mount}/photo.jpg", If_None_Match=answer.headers["etag"]).status == 304
        assert site.fetches("photo.jpg") == 1

    def test_a_part(self, site: Site, mount: str) -> None:
        etag = site.get(f"{mount}/photo.jpg").headers["etag"]
        answer = site.get(f"{mount}/photo.jpg", Range="bytes=3-9", If_Range=etag)
        assert (answer.status, answer.body) == (206, PHOTO[3:10])
        assert answer.headers["content-range"] == f"bytes 3-9/{len(PHOTO)}"
        assert site.get(f"{mount}/photo.jpg", Range=f"bytes={len(PHOTO)}-").status == 416

    @pytest.mark.parametrize("name", ["page.html", "evil.svg", "long.bin"])
    def test_what_a_browser_must_not_open(self, site: Site, mount: str, name: str) -> None:
        answer = site.get(f"{mount}/{name}")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.body == (site.directory / name).read_bytes()

    def test_a_missing_one(self, site: Site, mount: str) -> None:
        assert site.get(f"{mount}/none.jpg").status == 404


def test_raw_is_off_by_default(tmp_path: Path) -> None:
    with serving(tmp_path, MOUNTS.replace("allow_raw = true\n", "")) as site:
        assert site.get("/_/raw:1/plain/photo.jpg").status == 404
        assert site.get("/thumbor/unsafe/filters:raw()/photo.jpg").status == 400
        assert site.fetches("photo.jpg") == 0


@pytest.mark.parametrize("options", ["", "raw:1/", "skp:jpg/"])
def test_the_longest_source(site: Site, options: str) -> None:
    size = len(PHOTO)
    assert site.get(f"/_/{options}msfs:{size}/plain/photo.jpg").status == 200
    answer = site.get(f"/_/{options}msfs:{size - 1}/plain/photo.jpg")
    assert (answer.status, answer.body) == (422, b"Invalid source image")


@pytest.mark.parametrize(("answered", "status"), [(401, 401), (403, 403), (410, 410), (500, 502), (503, 502)])
def test_the_status_of_the_sources_host(site: Site, answered: int, status: int) -> None:
    site.web.behave(f"/host-{answered}", Behaviour(status=answered))
    for options in ("", "raw:1/"):
        answer = site.get(f"/_/{options}plain/host-{answered}.jpg")
        assert (answer.status, answer.body) == (status, b"Source is unreachable")


def test_a_crop_far_within_a_wide_source(site: Site) -> None:
    answer = site.get("/_/c:300:40:nowe:18000:0/plain/wide.png@png")
    assert answer.status == 200, answer
    assert opened(answer.body).size == (300, 40)
    answer = site.get("/thumbor/unsafe/18000x0:18300x40/300x40/wide.png")
    assert opened(answer.body).size == (300, 40)
    assert "worker_died" not in site.server.log
