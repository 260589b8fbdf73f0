"""Purging the cache of GETs: by calls, by the command, by deliveries; and the mounts that SIGHUP reads again."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from examples.receivers import HttpReceiver
from PIL import Image

from imgserve.request.dialects import signing
from tests.service.conftest import opened
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.mounted import BLUE, GREEN, RED, Line, fetch, paint, settings
from tests.support.native import Caller
from tests.support.operating import Operator, ask

KEY = "a-key-of-some-length-01"
WEBP = "image/webp"


class House(NamedTuple):
    server: Daemon
    caller: Caller
    pictures: Path

    def url_of(self, name: str) -> str:
        return f"file://{self.pictures}/{name}"

    def colour(self, target: str, **headers: str) -> str:
        return colour_of(fetch(self.server, target, **headers).body)

    def purge(self, **scope: object) -> tuple[int, int]:
        answer = self.caller("POST", "/v1/cache/purge", scope)
        assert answer.status == 200, answer
        return answer.body["purged"], answer.body["sources"]


def colour_of(data: bytes) -> str:
    image: Image.Image = opened(data).convert("RGB")
    pixel = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(pixel, tuple)
    return "#" + "".join("ff" if band > 128 else "00" for band in pixel)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    top = tmp_path_factory.mktemp("cache")
    pictures, file = top / "pictures", top / "imgserve.toml"
    pictures.mkdir()
    (top / "keys").write_text(f"ann {KEY}\n")
    (top / "keys").chmod(0o600)
    file.write_text(settings(pictures, f'read_root = ["{pictures}"]', f'write_root = ["{pictures}"]'))
    server = Daemon(top / "data", "--config", str(file), "--api-key-file", str(top / "keys"), *LOOPBACK)
    with server:
        yield House(server, Caller(server, KEY), pictures)


def test_a_purged_source_is_read_again_for_all_its_pictures(house: House) -> None:
    targets = ("/thumbor/unsafe/20x20/a.png", "/thumbor/unsafe/10x10/a.png", "/x/rs:fit:20:20/plain/a.png")
    paint(house.pictures / "a.png", RED)
    paint(house.pictures / "other.png", RED)
    assert house.colour("/thumbor/unsafe/20x20/other.png") == RED
    assert [house.colour(target) for target in targets] == [RED] * 3
    paint(house.pictures / "a.png", BLUE)
    paint(house.pictures / "other.png", BLUE)
    assert [house.colour(target) for target in targets] == [RED] * 3
    assert house.purge(source=house.url_of("%61.png").replace("file:///", "FILE:////")) == (3, 0)
    assert [house.colour(target) for target in targets] == [BLUE] * 3
    assert house.colour("/thumbor/unsafe/20x20/other.png") == RED


@pytest.mark.parametrize(
    "url",
    [
        "/thumbor/unsafe/20x20/u.png",
        "https://images.example.com/thumbor/unsafe/20x20/u.png?v=1",
        "/thumbor/an-old-signature=/20x20/u.png",
    ],
)
def test_a_purged_url_is_rendered_again_whatever_its_clients_accept(house: House, url: str) -> None:
    target, neighbour = "/thumbor/unsafe/20x20/u.png", "/thumbor/unsafe/10x10/u.png"
    paint(house.pictures / "u.png", RED)
    house.purge(source=house.url_of("u.png"))
    assert fetch(house.server, target, accept=WEBP).headers["content-type"] == WEBP
    assert (house.colour(target), house.colour(target, accept=WEBP), house.colour(neighbour)) == (RED, RED, RED)
    paint(house.pictures / "u.png", BLUE)
    assert house.purge(url=url) == (2, 0)
    assert (house.colour(target), house.colour(target, accept=WEBP), house.colour(neighbour)) == (BLUE, BLUE, RED)


def test_a_prefix_and_all(house: House) -> None:
    (house.pictures / "one").mkdir()
    (house.pictures / "two").mkdir()
    targets = ("/thumbor/unsafe/20x20/one/a.png", "/thumbor/unsafe/20x20/two/a.png")

    def paint_both(colour: str) -> None:
        paint(house.pictures / "one/a.png", colour)
        paint(house.pictures / "two/a.png", colour)

    paint_both(RED)
    assert [house.colour(target) for target in targets] == [RED, RED]
    paint_both(BLUE)
    house.purge(prefix=house.url_of("one/"))
    assert [house.colour(target) for target in targets] == [BLUE, RED]
    paint_both(GREEN)
    house.purge(all=True)
    assert [house.colour(target) for target in targets] == [GREEN, GREEN]
    wait_until(lambda: house.caller("GET", "/v1/cache").body["pictures"]["purging"] == 0)


def test_a_hot_url_shows_no_purged_picture(house: House) -> None:
    """The third GET of a connection is answered while its head is read, and none of its URL is judged again."""
    paint(house.pictures / "hot.png", RED)
    with Line(house.server) as line:
        for _ in range(3):
            assert colour_of(line.get("/thumbor/unsafe/20x20/hot.png").body) == RED
        paint(house.pictures / "hot.png", BLUE)
        house.purge(source=house.url_of("hot.png"))
        for _ in range(3):
            assert colour_of(line.get("/thumbor/unsafe/20x20/hot.png").body) == BLUE


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({}, ""), ({"source": "file:///a.png", "all": True}, ""), ({"all": False}, "all"),
        ({"source": "a.png"}, "source"), ({"source": 3}, "source"), ({"prefix": "https"}, "prefix"),
        ({"prefix": ""}, "prefix"), ({"sauce": "x"}, "sauce"), ({"url": "nowhere"}, "url"),
        ({"url": "/thumbor/x"}, "url"), ({"url": "/x/rs:fit:what/plain/a.png"}, "url"),
        ({"url": "/thumbor/unsafe/20x20/http://elsewhere.test/a.png"}, "url"),
    ],
)  # fmt: skip
def test_refused_purges(house: House, scope: dict[str, object], path: str) -> None:
    answer = house.caller("POST", "/v1/cache/purge", scope)
    assert answer.status == 422
    assert [place for place, _ in answer.faults] == [path]


def test_only_a_key_may_purge_and_see(house: House) -> None:
    stranger = Caller(house.server)
    assert stranger("POST", "/v1/cache/purge", {"all": True}).status == 401
    assert stranger("GET", "/v1/cache").status == 401
    assert ask(house.server.data_dir, "GET", "/v1/cache").body["mounts"] == ["imgproxy", "thumbor"]


def test_what_the_caches_hold(house: House) -> None:
    paint(house.pictures / "s.png", RED)
    house.purge(all=True)
    before = house.caller("GET", "/v1/cache").body
    for _ in range(2):
        house.colour("/thumbor/unsafe/20x20/s.png")
    after = house.caller("GET", "/v1/cache").body
    assert after["pictures"]["stored"] - before["pictures"]["stored"] == 1
    assert after["pictures"]["memory_hits"] - before["pictures"]["memory_hits"] == 1
    assert after["sources"]["stored"] == before["sources"]["stored"], "a file is no dearer to read than its copy"


def test_the_command(house: House) -> None:
    operator = Operator(house.server)
    paint(house.pictures / "c.png", RED)
    targets = ("/thumbor/unsafe/20x20/c.png", "/thumbor/unsafe/10x10/c.png")
    assert [house.colour(target) for target in targets] == [RED, RED]
    paint(house.pictures / "c.png", BLUE)
    told = operator("cache", "purge", "--url", targets[0])
    assert (told.returncode, told.stdout) == (0, b"1 picture and 0 sources purged\n"), told.stderr
    assert [house.colour(target) for target in targets] == [BLUE, RED]
    told = operator("cache", "purge", "--source", house.url_of("c.png"), "--json")
    assert json.loads(told.stdout) == {"purged": 2, "sources": 0, "deleting": False}
    assert operator("cache", "purge", "--prefix", house.url_of("")).returncode == 0
    assert operator("cache", "purge", "--all").returncode == 0
    refused = operator("cache", "purge", "--source", "c.png")
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert b"source" in refused.stderr
    assert operator("cache", "purge").returncode == 2
    assert operator("cache", "purge", "--all", "--source", "x").returncode == 2
    told = operator("cache", "stats")
    assert told.returncode == 0
    assert told.stdout.decode().splitlines()[0] == "mounts    imgproxy, thumbor"
    assert json.loads(operator("cache", "stats", "--json").stdout)["pictures"]["cap_bytes"] > 0


def test_a_job_that_delivers_over_a_source_purges_its_pictures(house: House) -> None:
    paint(house.pictures / "job.png", RED)
    paint(house.pictures / "new.png", BLUE)
    target = "/thumbor/unsafe/20x20/job.png"
    assert house.colour(target) == RED
    job = {
        "source": house.url_of("new.png"),
        "outputs": [{"operations": [{"operation": "resize", "width": 30}], "destination": house.url_of("job.png")}],
    }
    answer = house.caller("POST", "/v1/jobs", job, Prefer="wait=20")
    assert answer.body["status"] == "succeeded", answer
    assert house.colour(target) == BLUE


def test_a_job_that_delivers_by_http_purges_what_is_read_there(tmp_path: Path) -> None:
    (tmp_path / "http").mkdir()
    paint(tmp_path / "http/a.png", RED)
    paint(tmp_path / "http/new.png", BLUE)
    file = tmp_path / "imgserve.toml"
    with HttpReceiver(tmp_path / "http") as http:
        file.write_text(
            f'[get.thumbor]\npath = "/t"\nallow_unsigned = true\nsources = ["{http.url}/"]\nbase_url = "{http.url}/"'
        )
        with Daemon(tmp_path / "data", "--config", str(file), *LOOPBACK) as server:
            caller = Caller(server)
            assert colour_of(fetch(server, "/t/unsafe/20x20/a.png").body) == RED
            resize = {"operation": "resize", "width": 30}
            place = {"url": f"{http.url}/%61.png", "method": "PUT"}
            job = {"source": f"{http.url}/new.png", "outputs": [{"operations": [resize], "destination": place}]}
            answer = caller("POST", "/v1/jobs", job, Prefer="wait=20")
            assert answer.body["status"] == "succeeded", answer
            assert colour_of(fetch(server, "/t/unsafe/20x20/a.png").body) == BLUE
            assert caller("GET", "/v1/cache").body["sources"]["stored"] == 2
            answer = caller("POST", "/v1/cache/purge", {"source": f"{http.url}/a.png"})
            assert (answer.body["purged"], answer.body["sources"]) == (1, 1)


@pytest.mark.parametrize("on_failure", ["delete", "error_image"])
def test_a_job_that_fails_purges_what_it_deletes_or_replaces(house: House, on_failure: str) -> None:
    """Its source is cut short, which shows when it is decoded."""
    paint(house.pictures / "broken.png", BLUE)
    whole = (house.pictures / "broken.png").read_bytes()
    (house.pictures / "broken.png").write_bytes(whole[:60] + bytes(200))
    paint(house.pictures / f"{on_failure}.png", RED)
    target = f"/thumbor/unsafe/20x20/{on_failure}.png"
    assert house.colour(target) == RED
    resize = {"operation": "resize", "width": 30}
    output = {"operations": [resize], "destination": house.url_of(f"{on_failure}.png"), "on_failure": on_failure}
    job = {"source": house.url_of("broken.png"), "outputs": [output]}
    answer = house.caller("POST", "/v1/jobs", job, Prefer="wait=20")
    assert answer.body["status"] == "failed", answer

    def is_gone() -> bool:
        got = fetch(house.server, target)
        return got.status == 404 if on_failure == "delete" else colour_of(got.body) != RED

    wait_until(is_gone)


def test_a_hangup_reads_the_mounts_again(tmp_path: Path) -> None:
    file, pictures = tmp_path / "imgserve.toml", tmp_path / "pictures"
    pictures.mkdir()
    paint(pictures / "a.png", RED)

    def write(*, key: str, path: str = "/t") -> None:
        (tmp_path / "key").write_text(key)
        file.write_text(
            f'read_root = ["{pictures}"]\n[get.thumbor]\npath = "{path}"\nkey_file = "{tmp_path / "key"}"\n'
            f'base_url = "file://{pictures}/"\n'
        )

    first, second = signed("first", "20x20/a.png"), signed("second", "20x20/a.png")
    write(key="first")
    with Daemon(tmp_path / "data", "--config", str(file)) as server, Line(server) as line:
        for _ in range(3):  # the last one is hot
            assert line.get(f"/t{first}").status == 200
        assert line.get(f"/t{second}").status != 200
        write(key="second")
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "reloaded" in server.log)
        assert line.get(f"/t{first}").status != 200
        assert line.get(f"/t{second}").status == 200
        write(key="second", path="/elsewhere")
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: server.log.count("reloaded") == 2)
        assert line.get(f"/t{second}").status == 404
        assert line.get(f"/elsewhere{second}").status == 200
        file.write_text(file.read_text().replace("path =", "path = 3 #"))
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "reload_failed" in server.log)
        assert line.get(f"/elsewhere{second}").status == 200


def test_a_hangup_reads_keys_that_variables_name(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", RED)
    (tmp_path / "key").write_text("first")
    settings = {"path": "/t", "key_file": tmp_path / "key", "base_url": f"file://{tmp_path}/"}
    variables = {f"IMGSERVE_GET_THUMBOR_{name.upper()}": str(value) for name, value in settings.items()}
    with Daemon(tmp_path / "data", "--read-root", str(tmp_path), environment=variables) as server:
        targets = [f"/t{signed(key, '20x20/a.png')}" for key in ("first", "second")]
        assert [fetch(server, target).status == 200 for target in targets] == [True, False]
        (tmp_path / "key").write_text("second")
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "reloaded" in server.log)
        assert [fetch(server, target).status == 200 for target in targets] == [False, True]


def test_the_fallback_picture_is_of_the_format_that_each_client_takes(tmp_path: Path) -> None:
    """It is cached by what the client's headers say too."""
    paint(tmp_path / "fallback.png", GREEN)
    file = tmp_path / "imgserve.toml"
    mount = f'path = "/t"\nallow_unsigned = true\nsources = ["file://{tmp_path}/"]\nbase_url = "file://{tmp_path}/"'
    named = f'[picture.gone]\npath = "{tmp_path}/fallback.png"'
    file.write_text(
        f'read_root = ["{tmp_path}"]\n[get.thumbor]\n{mount}\nnegotiate = ["webp"]\nfallback = "gone"\n{named}'
    )
    with Daemon(tmp_path / "data", "--config", str(file)) as server:
        for accept, kind in ((WEBP, WEBP), ("image/png", "image/png"), (WEBP, WEBP)):
            got = fetch(server, "/t/unsafe/20x20/none.png", accept=accept)
            assert (got.headers["content-type"], colour_of(got.body)) == (kind, GREEN)


def test_a_purge_tells_that_the_disk_is_broken_and_does_what_it_can(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", RED)
    paint(tmp_path / "new.png", BLUE)
    file, target = tmp_path / "imgserve.toml", "/thumbor/unsafe/20x20/a.png"
    (tmp_path / "cache").write_text("no directory")
    roots = (f'{kind}_root = ["{tmp_path}"]' for kind in ("read", "write"))
    file.write_text(settings(tmp_path, *roots, f'cache_dir = "{tmp_path}/cache"'))
    with Daemon(tmp_path / "data", "--config", str(file)) as server:
        caller = Caller(server)
        assert colour_of(fetch(server, target).body) == RED
        paint(tmp_path / "a.png", BLUE)
        assert colour_of(fetch(server, target).body) == RED
        answer = caller("POST", "/v1/cache/purge", {"source": f"file://{tmp_path}/a.png"})
        assert (answer.status, answer.body["code"], "retry-after" in answer.headers) == (503, "purge_failed", True)
        assert colour_of(fetch(server, target).body) == BLUE
        job = {
            "source": f"file://{tmp_path}/a.png",
            "outputs": [
                {"operations": [{"operation": "rotate", "angle": 90}], "destination": f"file://{tmp_path}/new.png"}
            ],
        }
        assert caller("POST", "/v1/jobs", job, Prefer="wait=20").body["status"] == "succeeded"
        assert "purge_failed" in server.log


def test_the_first_mount_needs_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "imgserve.toml"
    file.write_text("")
    with Daemon(tmp_path / "data", "--config", str(file)) as server:
        caller = Caller(server)
        assert caller("GET", "/v1/cache").body["mounts"] == []
        assert caller("POST", "/v1/cache/purge", {"all": True}).body == {"purged": 0, "sources": 0, "deleting": False}
        assert caller("POST", "/v1/cache/purge", {"url": "/x"}).faults == [("url", "field_invalid")]
        file.write_text(settings(tmp_path))
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "mounts_ignored" in server.log)
        assert fetch(server, "/thumbor/unsafe/20x20/a.png").status in (401, 404)


def signed(key: str, text: str) -> str:
    return f"/{signing.thumbor_signature(key.encode(), text)}/{text}"
