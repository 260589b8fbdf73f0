"""thumbor itself as a peer: for one URL the same status, format and size, and pictures that differ by very little.

Bounds are the mean difference of a pixel's worst channel, and that of the worst block of 8 x 8, of 255 levels.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests.support.daemon import Daemon
from tests.support.ondemand import Reply, call
from tests.support.peers import mounted
from tests.support.pictures import detailed, encoded, oriented_jpeg, scene
from tests.support.sizes import Figures, sized
from tests.support.thumbors import Thumbor

BLOCK_PX = 8
QUALITY = 95


class Kind(NamedTuple):
    mean: float
    worst: float
    urls: tuple[str, ...]


KINDS = {
    "sizes": Kind(1.0, 1.5, (
        "300x200/a.png", "origx100/a.png", "100xorig/a.png", "333x0/a.png", "0x111/tall.png", "300x200/clear.png",
        "fit-in/200x200/a.png", "fit-in/900x900/a.png", "fit-in/0x100/a.png", "fit-in/100x0/tall.png",
        "full-fit-in/200x200/tall.png", "adaptive-fit-in/200x300/a.png", "adaptive-fit-in/300x200/tall.png",
        "adaptive-full-fit-in/200x300/a.png", "9000x0/filters:no_upscale()/a.png",
        "200x200/grey.png", "200x200/filters:proportion(0.33)/a.png", "200x200/smart/a.png",
    )),
    # Near the size of the source the two filters differ most.
    "little changed": Kind(2.5, 4.5, (
        "900x900/a.png", "full-fit-in/900x900/a.png", "fit-in/900x900/filters:upscale()/a.png",
        "200x400/filters:stretch()/a.png",
    )),
    "crops and flips": Kind(1.2, 1.5, (
        "10x20:410x420/-200x100/left/a.png", "10x20:410x420/a.png", "100x50:5000x300/a.png", "400x20:100x300/a.png",
        "200x300/right/a.png", "300x100/bottom/tall.png", "100x300/top/tall.png", "-0x-0/a.png", "0x-111/tall.png",
        "100x300/filters:focal(10x10:60x60)/a.png", "100x300/filters:focal(10x10:60x60):focal(500x300:620x460)/a.png",
        "200x100/filters:rotate(90)/a.png", "200x100/filters:rotate(270)/a.png", "200x200/filters:rotate(45)/a.png",
    )),
    "trim": Kind(1.0, 1.5, (
        "trim/framed.png", "trim:bottom-right/framed.png", "trim:top-left:40/framed.png", "trim/100x100/framed.png",
        "trim/100x80:300x250/framed.png", "trim/fit-in/120x120/framed.png",
    )),
    "colours": Kind(1.6, 2.5, (
        "200x200/filters:brightness(20)/a.png", "200x200/filters:contrast(40)/a.png",
        "200x200/filters:contrast(-40)/a.png", "200x200/filters:rgb(20,-20,40)/a.png",
        "200x200/filters:colorize(20,50,80,ff8800)/a.png", "200x200/filters:saturation(1.8)/a.png",
        "200x200/filters:grayscale()/a.png", "200x200/filters:grayscale()/clear.png",
        "200x200/filters:equalize()/a.png", "200x200/filters:background_color(blue)/clear.png",
        "200x200/filters:curve([(0,0),(60,40),(255,255)],[(0,50),(255,200)],[(0,0),(255,255)],[(0,0),(255,255)])/a.png",
        "200x200/filters:unknown(1,2)/a.png", "200x200/filters:brightness(x)/a.png",
    )),
    "masks": Kind(4.0, 5.5, (
        "200x200/filters:blur(3)/a.png", "200x200/filters:blur(7,2)/a.png", "200x200/filters:blur(20)/clear.png",
        "200x200/filters:convolution(1;2;1;2;4;2;1;2;1,3,true)/a.png",
        "200x200/filters:convolution(-1;-1;-1;-1;8;-1;-1;-1;-1,3,false)/a.png",
        "200x200/filters:sharpen(1,0.5,false)/a.png", "200x200/filters:sharpen(2,1.0,true)/a.png",
    )),
    "canvas": Kind(1.5, 2.0, (
        "fit-in/200x200/filters:fill(red)/a.png", "fit-in/200x200/filters:fill(0f08)/a.png",
        "fit-in/200x200/filters:fill(red,1)/clear.png", "fit-in/200x200/filters:fill(red)/clear.png",
        "fit-in/200x200/filters:fill(auto)/a.png",
    )),
    "blurred space": Kind(3.0, 6.0, (
        "fit-in/400x200/filters:fill(blur)/a.png", "fit-in/200x200/filters:fill(blur)/tall.png",
        "fit-in/900x600/filters:fill(blur)/a.png", "fit-in/400x200/filters:fill(blur)/clear.png",
    )),
    # thumbor does not soften the edge of a corner as much.
    "corners": Kind(1.6, 42.0, (
        "200x200/filters:round_corner(30,255,255,0)/a.png", "200x200/filters:round_corner(30,255,255,0)/clear.png",
        "200x200/filters:round_corner(30%7C50,0,0,0,true)/a.png",
    )),
    "watermark": Kind(1.0, 2.5, (
        "300x300/filters:watermark(mark.png,10,20,0)/a.png", "300x300/filters:watermark(solid.png,-10,-20,40)/a.png",
        "300x300/filters:watermark(mark.png,center,33p,0)/a.png", "300x300/filters:watermark(mark.png,5,5,60)/a.png",
        "300x300/filters:watermark(mark.png,0,0,0,50)/a.png",
        "300x300/filters:watermark(solid.png,-300,-20,0,none,30)/clear.png",
    )),
    # A JPEG's chroma is made smaller as it is stored; thumbor smooths it first.
    "lossy": Kind(4.0, 9.5, (
        "300x200/a.jpg", "full-fit-in/200x200/a.jpg", "200x200/turned.jpg", "fit-in/200x200/a.webp",
        "200x200/filters:format(webp)/a.png", "200x200/filters:autojpg(true)/a.png",
        "200x200/filters:strip_icc()/a.jpg",
    )),
    "low quality": Kind(5.5, 14.0, (
        "200x200/filters:quality(30)/a.jpg", "200x200/filters:format(webp):quality(60)/a.png",
    )),
}  # fmt: skip
# What docs say differs: grain by chance, hidden colours, palettes, repeats.
DIFFERENT = (
    "200x200/filters:noise(40,3)/a.png",
    "300x200/filters:format(jpeg)/clear.png", "200x200/palette.png",
    "300x300/filters:watermark(mark.png,repeat,repeat,30)/a.png",
)  # fmt: skip
META = (
    "meta/300x200/a.png", "meta/fit-in/300x200/tall.png", "meta/10x20:300x400/-100x-100/left/a.jpg", "meta/a.jpg",
    "meta/300x0/filters:rotate(90)/a.png", "meta/fit-in/900x300/filters:fill(red)/a.png", "meta/trim/framed.png",
)  # fmt: skip
REFUSED = ("300x200/missing.png", "filters:format(webp)/200x200/a.png", "300x200/words.png")


class Both(NamedTuple):
    ours: Daemon
    theirs: Thumbor

    def asked(self, options: str) -> tuple[Reply, Reply]:
        target = f"/unsafe/{options}"
        return call(self.ours, None, {}, f"/thumbor{target}", "GET"), self.theirs.asked(target)


def put_pictures(directory: Path) -> None:
    photo, clear = detailed(640, 480), detailed(640, 480)
    clear.putalpha(scene(640, 480, "RGBA").getchannel("A"))
    framed = Image.new("RGB", (500, 400), (240, 240, 240))
    framed.paste(detailed(300, 220), (90, 70))
    pictures = {
        "a.png": encoded(photo, "png"),
        "a.jpg": encoded(photo, "jpeg"),
        "a.webp": encoded(photo, "webp"),
        "tall.png": encoded(detailed(300, 460), "png"),
        "clear.png": encoded(clear, "png"),
        "grey.png": encoded(photo.convert("L"), "png"),
        "palette.png": encoded(photo.quantize(64), "png"),
        "framed.png": encoded(framed, "png"),
        "turned.jpg": oriented_jpeg(photo, 6),
        "mark.png": encoded(scene(60, 40, "RGBA"), "png"),
        "solid.png": encoded(scene(60, 40), "png"),
        "words.png": b"no picture at all",
    }
    for name, data in pictures.items():
        (directory / name).write_bytes(data)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    top = tmp_path_factory.mktemp("thumbor")
    ours = mounted(top, "thumbor", f'quality = {QUALITY}\nsmart = "ignore"\n', workers=2)
    put_pictures(top / "pictures")
    with Thumbor(top, top / "pictures", quality=QUALITY) as theirs, ours:
        yield Both(ours, theirs)


def planes(reply: Reply) -> np.ndarray:
    """Colours times opacity, and the opacity: hidden colours count nothing."""
    pixels = np.asarray(Image.open(io.BytesIO(reply.body)).convert("RGBA")).astype(float)
    return np.dstack([pixels[..., :3] * pixels[..., 3:] / 255, pixels[..., 3:]])


def apart(ours: Reply, theirs: Reply) -> tuple[float, float]:
    one, other = planes(ours), planes(theirs)
    assert one.shape == other.shape
    difference = np.abs(one - other).max(axis=2)
    height, width = difference.shape
    corners = [(top, left) for top in range(0, height, BLOCK_PX) for left in range(0, width, BLOCK_PX)]
    worst = max(difference[top : top + BLOCK_PX, left : left + BLOCK_PX].mean() for top, left in corners)
    return float(difference.mean()), float(worst)


@pytest.mark.parametrize("name", KINDS)
def test_pictures_are_the_same(both: Both, name: str, figures: Figures) -> None:
    kind, means, worsts = KINDS[name], [], []
    for options in kind.urls[: sized(1, None)]:
        ours, theirs = both.asked(options)
        assert (ours.status, ours.headers["content-type"]) == (200, theirs.headers["content-type"]), options
        mean, worst = apart(ours, theirs)
        assert mean <= kind.mean, options
        assert worst <= kind.worst, options
        means.append(mean)
        worsts.append(worst)
    figures(f"thumbor, {name}", f"{len(means)} URLs; mean {max(means):.2f}, worst block {max(worsts):.1f} at most")


def test_others_have_the_same_size(both: Both) -> None:
    for options in DIFFERENT:
        ours, theirs = both.asked(options)
        assert (ours.status, ours.headers["content-type"]) == (200, theirs.headers["content-type"]), options
        assert planes(ours).shape == planes(theirs).shape, options


def test_meta_is_the_same(both: Both) -> None:
    for options in META:
        ours, theirs = both.asked(options)
        assert ours.status == theirs.status == 200, options
        assert json.loads(ours.body) == json.loads(theirs.body), options


def test_refusals_are_the_same(both: Both) -> None:
    statuses = {options: [reply.status for reply in both.asked(options)] for options in REFUSED}
    assert all(ours == theirs and ours >= 400 for ours, theirs in statuses.values()), statuses
