"""Pictures of a mount after a change of what they depend on beside URL and source: none is shown as it was before."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from tests.support.buckets import ObjectStore, settings_of
from tests.support.daemon import Daemon, wait_until
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
MARKED = "/_/rs:fill:40:40/wm:1:ce:0:0:1/plain/photo.jpg@png"


def paint(place: Path, colour: str) -> None:
    place.write_bytes(encoded(Image.new("RGB", (40, 40), colour), "png"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Gets]:
    for name in ("mark.png", "missing.png"):
        paint(tmp_path / name, RED)
    with gets(tmp_path, TABLES) as site:
        yield site


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


def until_states(server: Daemon, *states: str) -> None:
    """The log has a line for each answer, soon."""
    wait_until(lambda: tuple(re.findall(r" get .*state=(\w+)", server.log)) == states)


def test_the_bytes_of_a_watermark(site: Gets) -> None:
    """Of the same name and file. The first picture is still there when the file is the first one again."""
    first = site.get(MARKED)
    assert colour(first) == (255, 0, 0)
    paint(site.directory.parent / "mark.png", BLUE)
    assert colour(site.get(MARKED)) == (255, 0, 0)  # until the settings are read again
    reload(site)
    second = site.get(MARKED, If_None_Match=first["etag"])
    assert (colour(second), second.status) == ((0, 0, 255), 200)
    paint(site.directory.parent / "mark.png", RED)
    reload(site)
    assert site.get(MARKED, If_None_Match=first["etag"]).status == 304
    assert site.fetches("photo.jpg") == [200]


def test_the_bytes_of_a_fallback(site: Gets) -> None:
    path = "/_/rs:fill:40:40/plain/none.jpg@png"
    assert colour(site.get(path)) == (255, 0, 0)
    paint(site.directory.parent / "missing.png", BLUE)
    reload(site)
    assert " pictures=2 mounts=2" in site.server.log
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


def test_a_watermark_that_changes_while_a_source_is_fetched(site: Gets) -> None:
    """The picture has the newer one, and is not kept for the older."""
    mark = site.directory.parent / "mark.png"
    with Held() as held, ThreadPoolExecutor(1) as pool:
        try:
            reload(site, ('"http://127.0.0.1"', f'"{held.url}"'))
            path = MARKED.replace("photo.jpg", f"{held.url.replace(':', '%3A')}/a.jpg")
            asked = pool.submit(site.get, path)
            held.came.wait()
            paint(mark, BLUE)
            reload(site)
        finally:
            held.go.set()
        assert colour(asked.result()) == (0, 0, 255)
        paint(mark, RED)
        reload(site)
        assert colour(site.get(path)) == (255, 0, 0)


def test_a_credential_that_is_taken_away_while_a_source_is_fetched(site: Gets) -> None:
    """The picture is sent, and not kept: the next request is refused."""
    token = site.directory.parent / "token"
    token.write_text("a-token-of-the-shop")
    with Held() as held, ThreadPoolExecutor(1) as pool:
        credential = (
            f'[credential.shop]\ntype = "bearer"\nsecret_file = "{token}"\nfor = ["{held.url}/"]\n'
            f'principals = ["@get.imgproxy"]\n'
        )
        try:
            reload(
                site,
                ('"http://127.0.0.1"', f'"{held.url}"'),
                ("max_age_s = 77", 'max_age_s = 77\ncredential = "shop"'),
                ("[picture.mark]", f"{credential}[picture.mark]"),
            )
            path = f"/_/rs:fill:40:40/plain/{held.url.replace(':', '%3A')}/a.jpg@png"
            asked = pool.submit(site.get, path)
            held.came.wait()
            reload(site, ('"@get.imgproxy"', '"@get.iiif"'))
        finally:
            held.go.set()
        assert (asked.result().status, asked.result().size) == (200, (40, 40))
        reply = site.get(path)
        assert (reply.status, reply["x-imgserve-state"]) == (404, "")
        reload(site, ('"@get.iiif"', '"@get.imgproxy"'))
        assert site.get(path).status == 200
        until_states(site.server, "made", "refused", "made")


def test_the_public_url(site: Gets) -> None:
    """It is in the headers of pictures of IIIF."""
    path = "/iiif/3/photo.jpg/full/20,/0/default.jpg"
    assert "<https://one.test/3/photo.jpg/full/20,15/0/default.jpg>" in site.get(path)["link"]
    reload(site, ("https://one.test", "https://two.test"))
    assert "<https://two.test/3/photo.jpg/full/20,15/0/default.jpg>" in site.get(path)["link"]


def test_two_names_of_one_source(site: Gets) -> None:
    """Each in the headers of its own URL; the source is fetched once."""
    for name in ("photo.jpg", "other:photo.jpg", "photo.jpg"):
        reply = site.get(f"/iiif/3/{name}/full/20,/0/default.jpg")
        assert f"/3/{name}/full/20,15/0/default.jpg>" in reply["link"].replace("%3A", ":"), name
    assert site.fetches("photo.jpg") == [200]
    for name in ("%ff.jpg", "%ed%a0%80.jpg"):  # no Unicode, and so no part of a key
        assert site.get(f"/iiif/3/{name}/full/20,/0/default.jpg").status in (400, 404)


IIIF = '[get.iiif]\npath = "/iiif"\nallow_unsigned = true\nsources = ["WEB/"]\nbase_url = "WEB/"\n'


@pytest.mark.parametrize(
    ("switch", "value", "changes"),
    [("jpeg_quality", 5, "bytes"), ("max_output_pixels", 1200, "size"), ("source_timeout_s", 17, "nothing")],
)
def test_settings_of_the_server(tmp_path: Path, switch: str, value: int, changes: str) -> None:
    """After a restart, with the cache of before."""
    path = "/iiif/3/photo.jpg/full/max/0/default.jpg"
    with gets(tmp_path, IIIF) as site:
        first = site.get(path)
        site.server.stop()
        site.server.switches[switch] = value
        site.server.start()
        second = site.get(path, If_None_Match=first["etag"])
        if changes == "nothing":
            assert second.status == 304
            until_states(site.server, "made", "hit")
            return
        until_states(site.server, "made", "made")
        assert second.size == ((40, 30) if changes == "size" else (320, 240))
        assert len(second.body) < len(first.body)


def test_keys_and_times_of_a_mount_leave_its_pictures(site: Gets) -> None:
    before = site.get(MARKED)
    reload(site, ("max_age_s = 77", "max_age_s = 78"), ('fallback = "missing"', "fallback_status = 404"))
    after = site.get(MARKED)
    assert after["cache-control"].startswith("public, max-age=78")
    assert after.body == before.body
    until_states(site.server, "made", "hit")


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
