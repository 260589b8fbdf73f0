"""Presets of a running server: used, changed by SIGHUP, and alone allowed."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.chaos.sources import Sources
from tests.support.daemon import LOOPBACK, Daemon, Reply, wait_until
from tests.support.ondemand import JPEG, SMALL, call, render, with_recipe
from tests.support.operating import ask
from tests.support.pictures import encoded, scene

CARD = '[preset.card]\noperations = [{operation = "resize", width = 60, height = 30}]\nencode = {format = "png"}\n'


class Place:
    def __init__(self, top: Path, sources: Sources) -> None:
        self.top = top
        self.sources = sources
        self.config = top / "imgserve.toml"

    def server(self, text: str) -> Daemon:
        self.config.write_text(text)
        roots = ("--read-root", str(self.top), "--write-root", str(self.top))
        return Daemon(self.top / "data", *LOOPBACK, *roots, "--config", str(self.config))

    def job(self, name: str, args: dict[str, object], source: str = "photo.jpg") -> dict[str, object]:
        url = f"file://{self.top}/{source}" if "/" not in source else f"{self.sources.url}/{source}"
        return {"operationType": "resize", "srcURL": url, "dstURL": f"file://{self.top}/{name}", "args": args}

    def post(self, server: Daemon, name: str, args: dict[str, object], source: str = "photo.jpg") -> Reply:
        return server.post(self.job(name, args, source))

    def size(self, name: str) -> tuple[int, int]:
        with Image.open(self.top / name) as image:
            return image.size

    def replace(self, server: Daemon, text: str, word: str) -> None:
        """Write the file, send SIGHUP, and wait for this word in the log."""
        count = server.log.count(word)
        self.config.write_text(text)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: server.log.count(word) > count)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "photo.jpg").write_bytes(encoded(scene(200, 150), "jpeg"))
    with Sources({}) as sources:
        yield Place(tmp_path, sources)


def delivered(server: Daemon, reply: Reply) -> None:
    job_id = reply.headers["x-imgserve-job"]
    wait_until(lambda: ask(server.data_dir, "GET", f"/v1/jobs/{job_id}").body["status"] == "succeeded")


def test_a_preset_is_rendered_and_replaced_by_a_signal(place: Place) -> None:
    with place.server(CARD) as server:
        delivered(server, place.post(server, "a.png", {"preset": "card"}))
        assert place.size("a.png") == (60, 30)
        reply = place.post(server, "b.png", {"preset": "crad"})
        assert reply.body["detail"] == ('args.preset: expected the name of a preset, got "crad", did you mean "card"?')
        held = place.post(server, "held.png", {"preset": "card"}, "held/good-1.png")
        place.replace(server, CARD.replace("60", "40"), "reloaded keys=0 presets=1")
        delivered(server, place.post(server, "c.png", {"preset": "card"}))
        assert place.size("c.png") == (40, 30)
        place.replace(server, CARD.replace("60", '"20"') + "[preset.b]\n", "reload_failed")
        assert "imgserve.toml, line 2: [preset.card] operations[0].width: expected an integer" in server.log
        delivered(server, place.post(server, "d.png", {"preset": "card"}))
        assert place.size("d.png") == (40, 30), "a reload with a fault changes nothing"
        assert place.post(server, "e.png", {"preset": "b"}).body["code"] == 107
        place.sources.release("good-1.png")
        delivered(server, held)
        assert place.size("held.png") == (60, 30), "an accepted job keeps its recipe"


def test_where_only_presets_are_rendered(place: Place) -> None:
    sentence = "this server renders presets only (use args.preset, and leave the rest of the recipe out)"
    with place.server("presets_only = true\n" + CARD) as server:
        delivered(server, place.post(server, "a.png", {"preset": "card"}))
        refused: list[dict[str, object]] = [{"width": 20}, {"preset": "card", "quality": 3}, {"operations": []}, {}]
        for args in refused:
            reply = place.post(server, "b.png", args)
            assert (reply.status, reply.body["code"], reply.body["detail"]) == (200, 107, sentence)
        operator = ask(server.data_dir, "POST", "/", json.dumps(place.job("b.png", {"width": 20})).encode())
        assert operator.body["detail"] == sentence
        assert not (place.top / "b.png").exists()


def test_a_job_with_flat_args_and_one_with_a_list(place: Place) -> None:
    with place.server("") as server:
        flat = {"width": 40, "crop": "1:1", "grayscale": True, "blur": {"sigma": 2}}
        delivered(server, place.post(server, "flat.png", flat))
        listed = [{"operation": "grayscale"}, {"operation": "crop", "width": "50%"}, {"operation": "flip"}]
        delivered(server, place.post(server, "listed.png", {"operations": listed}))
        small = place.post(server, "small.png", {"width": 400, "crop": "1:1"})
        assert "use args.enlarge = true" in str(small.body["detail"])
        late = place.post(server, "late.png", {"width": 40, "crop": {"left": 500, "width": 10}})
        assert "use a smaller args.crop.left or args.crop.top" in str(late.body["detail"])
    assert (place.size("flat.png"), place.size("listed.png")) == ((40, 40), (100, 150))
    with Image.open(place.top / "flat.png") as image:
        assert image.mode == "L"


def test_a_render_takes_presets_too(place: Place) -> None:
    photo = (place.top / "photo.jpg").read_bytes()
    with place.server("presets_only = true\n" + CARD) as server:
        assert call(server, photo, JPEG, "/v1/render?preset=card").picture.size == (60, 30)
        source = {"source": f"file://{place.top}/photo.jpg"}
        assert render(server, {**source, "preset": "card"}).picture.format == "PNG"
        others = [call(server, photo, JPEG, with_recipe(SMALL)), call(server, photo, JPEG)]
        for reply in (*others, render(server, {**source, **SMALL}), render(server, source)):
            assert (reply.status, reply.problem["code"]) == (403, "presets_only")
        place.replace(server, CARD.replace("60", "50"), "reloaded")
        assert call(server, photo, JPEG, "/v1/render?preset=card").picture.size == (50, 30)
        assert call(server, photo, JPEG, with_recipe({**SMALL, "encode": {"quality": 1}})).status == 200


def test_a_job_whose_size_depends_on_pixels(place: Place) -> None:
    picture = Image.new("RGB", (200, 100), "white")
    picture.paste((255, 0, 0), (50, 20, 150, 80))
    picture.save(place.top / "framed.png")
    with place.server("") as server:
        args: dict[str, object] = {"operations": [{"operation": "trim"}]}
        reply = place.post(server, "a.png", args, "framed.png")
        assert reply.body["code"] == 107
        assert "use placeholder.style" in str(reply.body["detail"])
        assert "trim makes the size depend on the picture's pixels" in str(reply.body["detail"])
        accepted = server.post({**place.job("a.png", args, "framed.png"), "placeholder": "none"})
        delivered(server, accepted)
        assert place.size("a.png") == (100, 60)
        shown = ask(server.data_dir, "GET", f"/v1/jobs/{accepted.headers['x-imgserve-job']}").body
        assert (shown["outputs"][0]["width"], shown["outputs"][0]["height"]) == (None, None)


def test_the_presets_are_listed_without_secrets(place: Place) -> None:
    drawn = '{operation = "composite", image = "http://me:pass-word@pics.example/logo.png?token=t0ken"}'
    watermark = f"[preset.watermark]\noperations = [{drawn}]\n"
    with place.server("presets_only = true\n" + CARD + watermark) as server:
        listed = call(server, None, {}, "/v1/presets", "GET")
        assert listed.status == 200
        card, marked = (told := json.loads(listed.body))["presets"]
        assert told["presets_only"]
        assert card == {
            "name": "card", "operations": [{"operation": "resize", "width": 60, "height": 30}], "load": {},
            "encode": {"format": "png"},
        }  # fmt: skip
        assert marked["operations"] == [
            {"operation": "composite", "image": {"url": "http://pics.example/logo.png?..."}}
        ]
        assert ask(server.data_dir, "GET", "/v1/presets").body == told


def test_a_principal_learns_what_it_may_do(place: Place) -> None:
    (place.top / "keys").write_text("shop:the-key-of-the-shop-1\nmine:another-key-of-mine-1\n")
    with place.server(f'api_key_file = "{place.top}/keys"\nrate_limit_per_minute = 30\nmax_waiting = 50\n') as server:
        key = {"Authorization": "Bearer the-key-of-the-shop-1"}
        told = json.loads(call(server, None, key, "/v1/server", "GET").body)
        assert told["quota"] == {
            "max_waiting": 25, "max_on_demand": 128, "rate_limit_per_minute": 30, "max_upload_bytes": 2_000_000_000,
        }  # fmt: skip
        assert told["limits"]["max_source_bytes"] == 50_000_000
        assert {"jpeg", "webp"} <= set(told["formats"]["write"])
        assert set(told) == {"version", "formats", "limits", "quota"}, "the rest is the operator's"
        assert ask(server.data_dir, "GET", "/v1/server").body["quota"]["max_waiting"] == 50
