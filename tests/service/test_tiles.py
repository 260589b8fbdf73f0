"""The grid of a IIIF viewer: each tile of ``info.json`` at every scale factor has its exact size and its place."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from tests.service.conftest import opened
from tests.support.daemon import Daemon
from tests.support.ondemand import call
from tests.support.peers import mounted
from tests.support.pictures import detailed, distance, encoded
from tests.support.tiles import level, tiles_of

TILE_PX = 128
# Sides that no power of two divides; a last column of one pixel; a strip that is a pixel high at last; a small one.
PICTURES = {"odd": (517, 389), "column": (257, 131), "strip": (700, 9), "small": (100, 120)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    top = tmp_path_factory.mktemp("tiles")
    with mounted(top, "iiif", f"tile_size = {TILE_PX}\n") as server:
        for name, size in PICTURES.items():
            (top / "pictures" / name).write_bytes(encoded(detailed(*size), "png"))
        yield server


def info_of(server: Daemon, version: int, name: str) -> Any:
    reply = call(server, None, {"Accept": "application/json"}, f"/iiif/{version}/{name}/info.json", "GET")
    assert reply.status == 200
    return json.loads(reply.body)


def picture_of(server: Daemon, version: int, name: str, rest: str) -> Image.Image:
    reply = call(server, None, {}, f"/iiif/{version}/{name}/{rest}", "GET")
    assert (reply.status, reply.headers["content-type"]) == (200, "image/png"), (rest, reply)
    return opened(reply.body)


@pytest.mark.parametrize("version", [3, 2])
@pytest.mark.parametrize("name", PICTURES)
def test_every_tile_has_its_size_and_place(server: Daemon, name: str, version: int) -> None:
    info = info_of(server, version, name)
    assert (info["width"], info["height"]) == PICTURES[name]
    pictures = {}
    for tile in tiles_of(info):
        rest, size = tile.asked(version)
        pictures[tile] = picture_of(server, version, name, rest)
        assert pictures[tile].size == size, rest
    (kind,) = info["tiles"]
    assert kind["width"] == TILE_PX
    for scale in kind["scaleFactors"] if version == 3 else ():
        whole = level(info, scale, pictures)
        # Seams differ, since each tile is scaled by itself. A pixel aside, the distance is 4.4 at least.
        expected = detailed(*PICTURES[name]).resize(whole.size, Image.Resampling.LANCZOS)
        assert distance(whole, expected) < 3, scale
    last = [tile for tile in pictures if tile.scale == kind["scaleFactors"][-1]]
    assert len(last) == 1, "the last level is one tile"


@pytest.mark.parametrize("name", PICTURES)
def test_every_size_is_exact(server: Daemon, name: str) -> None:
    for size in info_of(server, 3, name)["sizes"]:
        asked = size["width"], size["height"]
        assert picture_of(server, 3, name, f"full/{asked[0]},{asked[1]}/0/default.png").size == asked
    for size in info_of(server, 2, name)["sizes"]:
        picture = picture_of(server, 2, name, f"full/{size['width']},/0/default.png")
        assert picture.width == size["width"]
        assert abs(picture.height - size["height"]) <= 1
