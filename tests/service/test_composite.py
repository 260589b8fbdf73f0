"""Jobs that draw further pictures: fetched over HTTP, named by the settings, missing, broken and refused."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.ondemand import call, render, with_recipe
from tests.support.operating import ask
from tests.support.pictures import encoded
from tests.support.sites import Reply, Seen, Site

BASE = encoded(Image.new("RGB", (80, 60), (10, 20, 30)), "png")
RED, BLUE = (encoded(Image.new("RGB", (20, 20), colour), "png") for colour in ((255, 0, 0), (0, 0, 255)))
LOGOS = '[picture.logo]\npath = "logo.png"\n\n[picture.seal]\npath = "seal.svg"\n'
SEAL = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10" fill="lime"/></svg>'
)


class Shop(Site):
    def reply(self, seen: Seen) -> Reply:
        pictures = {"/base.png": BASE, "/red.png": RED, "/page.png": b"<html>no picture</html>", "/cut.png": RED[:60]}
        picture = pictures.get(seen.path)
        return Reply(404, {}) if picture is None else Reply(200, {}, picture)


class Place:
    def __init__(self, top: Path, shop: Shop) -> None:
        self.top = top
        self.shop = shop
        self.config = top / "imgserve.toml"

    def server(self, text: str = LOGOS) -> Daemon:
        self.config.write_text(text)
        return Daemon(self.top / "data", *LOOPBACK, "--write-root", str(self.top), "--config", str(self.config))

    def job(self, name: str, *operations: dict[str, object], **args: object) -> dict[str, object]:
        destination = f"file://{self.top}/{name}"
        own = {"operations": list(operations)} if operations else {}
        source = f"{self.shop.url}/base.png"
        return {"operationType": "resize", "srcURL": source, "dstURL": destination, "args": {**own, **args}}

    def hang_up(self, server: Daemon, word: str) -> None:
        """Send SIGHUP, and wait for this word in the log."""
        count = server.log.count(word)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: server.log.count(word) > count)

    def drawn(self, image: object, **fields: object) -> dict[str, object]:
        return {"operation": "composite", "image": image, **fields}


@contextmanager
def prepared(top: Path) -> Iterator[Place]:
    (top / "logo.png").write_bytes(BLUE)
    (top / "seal.svg").write_bytes(SEAL)
    with Shop() as shop:
        yield Place(top, shop)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """For a server of its own."""
    with prepared(tmp_path) as place:
        yield place


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Daemon]]:
    with prepared(tmp_path_factory.mktemp("composite")) as place, place.server() as server:
        yield place, server


def ended(server: Daemon, job: dict[str, object]) -> dict[str, object]:
    """The job once it has ended, as the operator sees it."""
    reply = server.post(job)
    assert reply.status == 200, reply
    assert "x-imgserve-job" in reply.headers, reply
    path = f"/v1/jobs/{reply.headers['x-imgserve-job']}"
    wait_until(lambda: ask(server.data_dir, "GET", path).body["status"] in ("succeeded", "failed"))
    shown: dict[str, object] = ask(server.data_dir, "GET", path).body
    return shown


def test_pictures_of_urls_and_names(running: tuple[Place, Daemon]) -> None:
    place, server = running
    place.shop.seen.clear()
    red, blue, green, base = (255, 0, 0), (0, 0, 255), (0, 255, 0), (10, 20, 30)
    job = place.job(
        "a.png",
        place.drawn(f"{place.shop.url}/red.png", left=0, top=0),
        place.drawn({"name": "logo"}, right=0, bottom=0),
        place.drawn({"url": f"{place.shop.url}/red.png"}, right=0, top=0, width=5),
        place.drawn({"name": "seal"}, left=0, bottom=0, width=30),
    )
    assert ended(server, job)["status"] == "succeeded"
    seen = np.asarray(Image.open(place.top / "a.png"))
    assert [tuple(seen[y, x]) for y, x in ((2, 2), (57, 77), (2, 77), (2, 70), (35, 25), (29, 40))] == [
        red, blue, red, base, green, base,
    ]  # fmt: skip
    assert sorted(one.path for one in place.shop.seen) == ["/base.png", "/red.png"], "each is fetched once"
    assert ended(server, place.job("b.png", width=40, watermark="logo"))["status"] == "succeeded"
    assert tuple(np.asarray(Image.open(place.top / "b.png"))[15, 20]) == blue


def test_a_picture_that_cannot_be_had_fails_its_output(running: tuple[Place, Daemon]) -> None:
    place, server = running
    cases = {
        "gone.png": ("source_not_found", "404"),
        "page.png": ("source_unreadable", "no picture"),
        "cut.png": ("source_unreadable", "cannot be decoded"),
    }
    for name, (code, words) in cases.items():
        drawn = place.drawn({"name": "logo"}), place.drawn(f"{place.shop.url}/{name}")
        job = ended(server, place.job(f"of-{name}", *drawn))
        assert job["status"] == "failed"
        text = json.dumps(job)
        assert code in text
        assert words in text
        assert "operations[1].image: " in text


def test_refused_before_anything_is_fetched(running: tuple[Place, Daemon]) -> None:
    """By policy, by name, by scheme and by number."""
    place, server = running
    place.shop.seen.clear()
    many = [place.drawn(f"{place.shop.url}/{number}.png") for number in range(9)]
    refused = [
        ([place.drawn({"name": "lgo"})], 'image: expected the name of a picture of the settings, got \\"lgo\\"'),
        ([place.drawn("http://10.1.2.3/logo.png")], "operations[0].image"),
        ([place.drawn("file:///etc/passwd")], "operations[0].image"),
        ([place.drawn("gopher://a.test/b.png")], "operations[0].image"),
        ([place.drawn(3)], "operations[0].image: expected a URL"),
        (many, "operations[8].image: expected at most 8 different pictures"),
    ]
    for operations, words in refused:
        reply = server.post(place.job("a.png", *operations))
        assert "x-imgserve-job" not in reply.headers
        assert words in json.dumps(reply.body).replace("args.", ""), reply.body
    assert place.shop.seen == []


def test_a_reload_takes_all_pictures_or_none(place: Place) -> None:
    with place.server() as server:

        def middle(name: str) -> tuple[int, ...]:
            assert ended(server, place.job(name, place.drawn({"name": "logo"})))["status"] == "succeeded"
            return tuple(np.asarray(Image.open(place.top / name))[30, 40])

        assert middle("a.png") == (0, 0, 255)
        (place.top / "logo.png").write_bytes(RED)
        (place.top / "seal.svg").write_bytes(b"nothing")
        place.hang_up(server, "reload_failed")
        assert f"{place.config}, line 5: [picture.seal] path: " in server.log
        assert middle("b.png") == (0, 0, 255)
        (place.top / "seal.svg").write_bytes(SEAL)
        place.hang_up(server, "reloaded ")
        assert middle("c.png") == (255, 0, 0)


def test_a_start_names_every_picture_that_is_none(place: Place) -> None:
    (place.top / "logo.png").write_bytes(b"nothing")
    (place.top / "seal.svg").unlink()
    server = place.server()
    with pytest.raises(AssertionError, match="the server ended with 1"):
        server.start()
    said = server.log
    assert f"{place.config}, line 2: [picture.logo] path: the source is not a picture of a known kind" in said
    assert f"{place.config}, line 5: [picture.seal] path: the picture {place.top}/seal.svg cannot be used" in said


def test_for_a_client_that_waits(running: tuple[Place, Daemon]) -> None:
    place, server = running

    def recipe(*images: object) -> dict[str, object]:
        drawn = [place.drawn(image, width="50%", left=0, top=0) for image in images]
        return {"source": f"{place.shop.url}/base.png", "operations": drawn, "encode": {"format": "png"}}

    good = render(server, recipe({"name": "logo"}, f"{place.shop.url}/red.png"))
    assert tuple(np.asarray(good.picture)[5, 5]) == (255, 0, 0)
    target = with_recipe({"operations": recipe({"name": "logo"})["operations"]})
    upload = call(server, BASE, {"Content-Type": "image/png"}, target)
    assert tuple(np.asarray(upload.picture)[5, 5]) == (0, 0, 255)
    for image, status, code in (
        (f"{place.shop.url}/gone.png", 422, "source_not_found"),
        (f"{place.shop.url}/page.png", 422, "source_unreadable"),
        ({"name": "lgo"}, 422, "field_invalid"),
        ("http://10.1.2.3/logo.png", 422, "source_refused"),
    ):
        reply = render(server, recipe({"name": "logo"}, image))
        assert (reply.status, reply.faults) == (status, [("operations[1].image", code)])
