"""Fine patterns made smaller: what a decoder's own scaling would turn into moire no format shows, still or animated.

A zone plate holds every frequency up to the finest; its expected contrast is Pillow's, by Lanczos over all pixels and
by stored values.
"""

import functools
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from imgserve.imaging.worker.probe import probe
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from tests.support import pictures
from tests.unit.imaging.conftest import Render, opened, render_bytes

FORMATS = ("png", "webp", "jpeg", "avif", "tiff", "gif")
FACTORS = (2, 3, 4, 8)
LEVELS = 2.0  # of standard deviation, of 255
STORED = Resize(linear_light=False)


def grey(values: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.stack([values.round().clip(0, 255).astype(np.uint8)] * 3, axis=2))


def zone_plate(width: int, height: int) -> Image.Image:
    """Rings that grow finer from the middle on, to the finest that pixels can hold at the longer side."""
    y, x = np.mgrid[0:height, 0:width]
    squared = (x - width / 2) ** 2 + (y - height / 2) ** 2
    return grey(127.5 + 127.5 * np.cos(np.pi * squared / max(width, height)))


def stripes(width: int, height: int, period: int, *, across: bool = False) -> Image.Image:
    at = np.arange(height if across else width) % period
    values = np.where(at < period / 2, 255.0, 0.0)
    return grey(np.broadcast_to(values[:, None] if across else values, (height, width)))


def encoded(image: Image.Image, name: str) -> bytes:
    out = io.BytesIO()
    options: dict[str, dict[str, object]] = {
        "webp": {"lossless": True}, "jpeg": {"quality": 97, "subsampling": 0},
        "avif": {"quality": 97, "subsampling": "4:4:4"},
    }  # fmt: skip
    image.save(out, pictures.PILLOW_NAME[name], **options.get(name, {}))
    return out.getvalue()


def film(image: Image.Image, name: str) -> bytes:
    """The picture and its mirror image."""
    options: dict[str, object] = {"lossless": True} if name == "webp" else {}
    out = io.BytesIO()
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image.save(out, pictures.PILLOW_NAME[name], save_all=True, append_images=[mirrored], duration=50, **options)
    return out.getvalue()


def contrast(image: Image.Image) -> float:
    return float(np.asarray(image.convert("L")).std())


PATTERNS = {
    "zone plate": zone_plate(600, 400),
    "stripes of 3": stripes(600, 200, 3),
    "lines of 3": stripes(300, 400, 3, across=True),
}


@functools.cache  # to write a picture takes longer than all that is done with it
def source(pattern: str, name: str, mode: str = "RGB") -> bytes:
    return encoded(PATTERNS[pattern].convert(mode), name)


@functools.cache
def film_of(pattern: str, name: str) -> bytes:
    return film(PATTERNS[pattern], name)


@functools.cache
def fine_stripes(period: int, name: str) -> bytes:
    return encoded(stripes(600, 60, period), name)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_format_gives_what_lanczos_would(render: Render, pattern: str, factor: int) -> None:
    image = PATTERNS[pattern]
    size = (image.width // factor, image.height // factor)
    expected = contrast(image.convert("L").resize(size, Image.Resampling.LANCZOS))
    found = {name: contrast(render(source(pattern, name), STORED, size)) for name in FORMATS}
    assert found == pytest.approx(dict.fromkeys(found, expected), abs=LEVELS)


@pytest.mark.parametrize("factor", [2, 2.5, 3, 4, 5, 6, 6.5, 7, 8, 12])
def test_formats_look_alike(render: Render, factor: float) -> None:
    """Stripes that are nearly as fine as the result's pixels: a little of them is left, the same from each format."""
    size = (round(600 / factor), round(60 / factor))
    for period in (2, 4, 5, 6, 7, 9, 10):
        found = [
            contrast(render(fine_stripes(period, name), Resize(), size)) for name in ("png", "webp", "jpeg", "tiff")
        ]
        assert max(found) - min(found) < LEVELS, (period, found)


def test_stripes_at_a_sixth_leave_no_trace(render: Render) -> None:
    image = stripes(800, 600, 4)
    for name in ("png", "webp", "tiff", "jpeg"):
        assert spread(render(encoded(image, name), Resize(), (133, 100))) <= 4


def spread(image: Image.Image) -> int:
    """From the darkest to the brightest, away from the edges."""
    values = np.asarray(image.convert("L")).astype(int)[8:-8, 8:-8]
    return int(np.ptp(values))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", ["webp", "gif"])
def test_frames_are_as_still_pictures(render: Render, name: str, factor: int) -> None:
    for pattern in ("zone plate", "stripes of 3"):
        size = (PATTERNS[pattern].width // factor, PATTERNS[pattern].height // factor)
        expected = contrast(render(source(pattern, "png"), Resize(), size))
        moving = opened(render_bytes(film_of(pattern, name), Resize(), size, "webp"))
        frames = [contrast(frame) for frame in ImageSequence.Iterator(moving)]
        still = contrast(render(film_of(pattern, name), Resize(), size))
        assert [*frames, still] == pytest.approx([expected] * 3, abs=LEVELS)


@pytest.mark.parametrize("mode", ["RGBA", "L"])
def test_with_transparency_and_in_grey(render: Render, mode: str) -> None:
    for factor in FACTORS:
        size = (600 // factor, 200 // factor)
        found = [contrast(render(source("stripes of 3", name, mode), STORED, size)) for name in ("png", "webp", "avif")]
        assert found == pytest.approx([found[0]] * 3, abs=LEVELS)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_webp_that_is_turned_is_scaled_by_its_upright_sides(render: Render, orientation: int) -> None:
    upright = zone_plate(500, 300)
    data = pictures.oriented(upright, orientation, "webp")
    expected = contrast(render(encoded(upright, "png"), Resize(), (100, 60)))
    assert contrast(render(data, Resize(), (100, 60))) == pytest.approx(expected, abs=LEVELS)


def test_a_page_of_half_the_size_is_no_smaller_copy_of_the_first(render: Render) -> None:
    first, second = Image.new("RGB", (400, 200), (200, 0, 0)), Image.new("RGB", (200, 100), (0, 0, 200))
    out = io.BytesIO()
    first.save(out, "TIFF", save_all=True, append_images=[second])
    info = probe(out.getvalue(), Limits(), is_complete=True)
    assert info is not None
    assert (info.width_px, info.height_px) == (400, 200)
    for size in ((200, 100), (180, 90), (40, 20)):
        assert render(out.getvalue(), Resize(), size).convert("RGB").getpixel((9, 9)) == (200, 0, 0)


@pytest.mark.parametrize("factor", [0.4, 1.0, 1.1, 1.49, 1.5, 1.99])
def test_pictures_of_nearly_the_size_and_smaller_ones(render: Render, factor: float) -> None:
    image = zone_plate(300, 200)
    size = (round(300 / factor), round(200 / factor))
    found = [render(encoded(image, name), Resize(if_small="enlarge"), size) for name in ("png", "jpeg")]
    assert [picture.size for picture in found] == [size] * 2
    assert contrast(found[0]) == pytest.approx(contrast(found[1]), abs=LEVELS)
