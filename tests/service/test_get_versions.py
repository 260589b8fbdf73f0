"""Pictures of a mount after a change of what they depend on beside URL and source: none is shown as it was before."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from tests.support.buckets import ObjectStore, settings_of
from tests.support.daemon import wait_until
from tests.support.getting import PHOTO, Gets, Reply, gets
from tests.support.pictures import encoded, scene
from tests.support.sites import Serving

RED, BLUE = "#ff0000", "#0000ff"
TABLES = """
[picture.mark]
path = "mark.png"
[picture.missing]
path = "missing.png"
[get.imgproxy]
path = "/"
allow_unsigned = true
sources = ["WEB/", "http://127.0.0.1"]
base_url = "WEB/"
watermark = "mark"
fallback = "missing"
max_age_s = 77
[get.iiif]
path = "/iiif"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
names = {other = "WEB/"}
public_url = "https://one.test"
"""


def paint(place: Path, colour: str) -> None:
    place.write_bytes(encoded(Image.new("RGB", (40, 40), colour), "png"))


class Site(NamedTuple):
    """A server that the tests share. ``photo``: a source of this test's own."""

    gets: Gets
    photo: str
    log_begin: int

    @property
    def top(self) -> Path:
        return self.gets.directory.parent

    @property
    def marked(self) -> str:
        return f"/_/rs:fill:40:40/wm:1:ce:0:0:1/plain/{self.photo}@png"

    @property
    def log(self) -> str:
        """Of this test."""
        return self.gets.server.log[self.log_begin :]

    def get(self, path: str, **headers: str) -> Reply:
        return self.gets.get(path, **headers)

    def reload(self, *changes: tuple[str, str]) -> None:
        reload(self.gets, *changes)

    def until_states(self, *states: str) -> None:
        wait_until(lambda: states_in(self.log) == states)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    top = tmp_path_factory.mktemp("versions")
    for name in ("mark.png", "missing.png"):
        paint(top / name, RED)
    with gets(top, TABLES) as running:
        yield running


@pytest.fixture
def site(running: Gets, request: pytest.FixtureRequest) -> Iterator[Site]:
    config = running.directory.parent / "imgserve.toml"
    before = config.read_text()
    photo = f"{request.node.name}.jpg"
    running.put(photo)
    yield Site(running, photo, len(running.server.log))
    config.write_text(before)
    for name in ("mark.png", "missing.png"):
        paint(config.parent / name, RED)
    reload(running)  # whose line comes behind those of this test's answers


def reload(site: Gets, *changes: tuple[str, str]) -> None:
    """With these texts of the settings file replaced."""
    config = site.directory.parent / "imgserve.toml"
    text = config.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    config.write_text(text)
    count = site.server.log.count("reloaded ")
    os.kill(site.server.pid, signal.SIGHUP)
    wait_until(lambda: site.server.log.count("reloaded ") > count)


def colour(reply: Reply) -> object:
    return reply.picture.convert("RGB").getpixel((20, 20))


def states_in(log: str) -> tuple[str, ...]:
    """A line for each answer, which comes soon after it."""
    return tuple(re.findall(r" get .*state=(\w+)", log))


def test_the_bytes_of_a_watermark(site: Site) -> None:
    """Of the same name and file. The first picture is still there when the file is the first one again."""
    first = site.get(site.marked)
    assert colour(first) == (255, 0, 0)
    paint(site.top / "mark.png", BLUE)
    assert colour(site.get(site.marked)) == (255, 0, 0)  # until the settings are read again
    site.reload()
    second = site.get(site.marked, If_None_Match=first["etag"])
    assert (colour(second), second.status) == ((0, 0, 255), 200)
    paint(site.top / "mark.png", RED)
    site.reload()
    assert site.get(site.marked, If_None_Match=first["etag"]).status == 304
    assert site.gets.fetches(site.photo) == [200]


def test_the_bytes_of_a_fallback(site: Site) -> None:
    path = "/_/rs:fill:40:40/plain/none.jpg@png"
    assert colour(site.get(path)) == (255, 0, 0)
    paint(site.top / "missing.png", BLUE)
    site.reload()
    assert " pictures=2 mounts=2" in site.log
    assert colour(site.get(path)) == (0, 0, 255)


class Held(Serving):
    """Serves a picture once ``go`` is set. ``came``: it was asked for."""

    def __init__(self) -> None:
        self.came, self.go = threading.Event(), threading.Event()
        held = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                held.came.set()
                held.go.wait()
                self.send_response(200)
                self.send_header("Content-Length", str(len(PHOTO)))
                self.end_headers()
                self.wfile.write(PHOTO)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), Handler))


def test_a_watermark_that_changes_while_a_source_is_fetched(site: Site) -> None:
    """The picture has the newer one, and is not kept for the older."""
    mark = site.top / "mark.png"
    with Held() as held, ThreadPoolExecutor(1) as pool:
        try:
            site.reload(('"http://127.0.0.1"', f'"{held.url}"'))
            path = site.marked.replace(site.photo, f"{held.url.replace(':', '%3A')}/{site.photo}")
            asked = pool.submit(site.get, path)
            held.came.wait()
            paint(mark, BLUE)
            site.reload()
        finally:
            held.go.set()
        assert colour(asked.result()) == (0, 0, 255)
        paint(mark, RED)
        site.reload()
        assert colour(site.get(path)) == (255, 0, 0)


def test_a_credential_that_is_taken_away_while_a_source_is_fetched(site: Site) -> None:
    """The picture is sent, and not kept: the next request is refused."""
    token = site.top / "token"
    token.write_text("a-token-of-the-shop")
    with Held() as held, ThreadPoolExecutor(1) as pool:
        credential = (
            f'[credential.shop]\ntype = "bearer"\nsecret_file = "{token}"\nfor = ["{held.url}/"]\n'
            f'principals = ["@get.imgproxy"]\n'
        )
        try:
            site.reload(
                ('"http://127.0.0.1"', f'"{held.url}"'),
                ("max_age_s = 77", 'max_age_s = 77\ncredential = "shop"'),
                ("[picture.mark]", f"{credential}[picture.mark]"),
            )
            path = f"/_/rs:fill:40:40/plain/{held.url.replace(':', '%3A')}/{site.photo}@png"
            asked = pool.submit(site.get, path)
            held.came.wait()
            site.reload(('"@get.imgproxy"', '"@get.iiif"'))
        finally:
            held.go.set()
        assert (asked.result().status, asked.result().size) == (200, (40, 40))
        reply = site.get(path)
        assert (reply.status, reply["x-imgserve-state"]) == (404, "")
        site.reload(('"@get.iiif"', '"@get.imgproxy"'))
        assert site.get(path).status == 200
        site.until_states("made", "refused", "made")


def test_the_public_url(site: Site) -> None:
    """It is in the headers of pictures of IIIF."""
    path = f"/iiif/3/{site.photo}/full/20,/0/default.jpg"
    assert f"<https://one.test/3/{site.photo}/full/20,15/0/default.jpg>" in site.get(path)["link"]
    site.reload(("https://one.test", "https://two.test"))
    assert f"<https://two.test/3/{site.photo}/full/20,15/0/default.jpg>" in site.get(path)["link"]


def test_two_names_of_one_source(site: Site) -> None:
    """Each in the headers of its own URL; the source is fetched once."""
    for name in (site.photo, f"other:{site.photo}", site.photo):
        reply = site.get(f"/iiif/3/{name}/full/20,/0/default.jpg")
        assert f"/3/{name}/full/20,15/0/default.jpg>" in reply["link"].replace("%3A", ":"), name
    assert site.gets.fetches(site.photo) == [200]
    for name in ("%ff.jpg", "%ed%a0%80.jpg"):  # no Unicode, and so no part of a key
        assert site.get(f"/iiif/3/{name}/full/20,/0/default.jpg").status in (400, 404)


IIIF = '[get.iiif]\npath = "/iiif"\nallow_unsigned = true\nsources = ["WEB/"]\nbase_url = "WEB/"\n'


def test_settings_of_the_server(tmp_path: Path) -> None:
    """After a restart, with the cache of before."""
    path = "/iiif/3/photo.jpg/full/max/0/default.jpg"
    with gets(tmp_path, IIIF) as site:

        def after(switch: str, value: int) -> Reply:
            site.server.stop()
            site.server.switches = {switch: value}
            site.server.start()
            return site.get(path, If_None_Match=first["etag"])

        first = site.get(path)
        assert after("source_timeout_s", 17).status == 304
        blurred, smaller = after("jpeg_quality", 5), after("max_output_pixels", 1200)
        assert (blurred.size, smaller.size) == ((320, 240), (40, 30))
        assert max(len(blurred.body), len(smaller.body)) < len(first.body)
        wait_until(lambda: states_in(site.server.log) == ("made", "hit", "made", "made"))


def test_keys_and_times_of_a_mount_leave_its_pictures(site: Site) -> None:
    before = site.get(site.marked)
    site.reload(("max_age_s = 77", "max_age_s = 78"), ('fallback = "missing"', "fallback_status = 404"))
    after = site.get(site.marked)
    assert after["cache-control"].startswith("public, max-age=78")
    assert after.body == before.body
    site.until_states("made", "hit")


def test_another_store_of_the_same_bucket(tmp_path: Path) -> None:
    """The source is another one then, though its URL is the same; and the cache of sources has the first one."""
    with ObjectStore() as one, ObjectStore(bucket=one.bucket) as other:
        one.put("photo.jpg", PHOTO)
        mount = f'[get.iiif]\npath = "/"\nallow_unsigned = true\nsources = ["{one.url}/"]\nbase_url = "{one.url}/"\n'
        tables = mount + settings_of(one.endpoint, one.url)
        with gets(tmp_path, tables, environment={"SECRET": "a-key"}) as site:
            assert site.get("/3/photo.jpg/full/max/0/default.jpg").size == (320, 240)
            other.put("photo.jpg", encoded(scene(100, 50), "jpeg"))
            reload(site, (one.endpoint, other.endpoint))
            assert site.get("/3/photo.jpg/full/max/0/default.jpg").size == (100, 50)
            assert [method for method, _ in other.requests if method == "GET"] == ["GET"]
