"""WebPs that are decoded by the faster libwebp: the pixels are libvips' own, and so is all that is known of them."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image

from imgserve.imaging.worker import load
from imgserve.imaging.worker.formats import libwebp
from imgserve.imaging.worker.picture import PROFILE, Picture
from imgserve.request.imageinfo import Size
from imgserve.request.recipe import LoadOptions
from tests.support import pictures

pytestmark = pytest.mark.skipif(not libwebp.is_there(), reason="needs libwebp")


def webp(mode: str = "RGB", size: tuple[int, int] = (121, 83), **options: Any) -> bytes:
    scene = pictures.detailed(*size).convert(mode)
    if mode == "RGBA":
        scene.putalpha(pictures.scene(*size).convert("L"))
    out = io.BytesIO()
    scene.save(out, "WEBP", **options)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("options", [{"quality": 80}, {"lossless": True}, {"quality": 60, "alpha_quality": 30}])
@pytest.mark.parametrize("size", [(121, 83), (1, 1), (2, 3), (640, 480)])
def test_the_pixels_are_those_of_libvips(mode: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    data = webp(mode, size, **options)
    theirs = pyvips.Image.new_from_buffer(data, "")
    decoded = libwebp.decode_pixels(data, Size(*size), theirs.bands, Size(*size))
    assert decoded is not None
    assert bytes(decoded) == bytes(theirs.write_to_memory())
    image = Picture(data, "webp").pixels()
    assert image.interpretation == theirs.interpretation
    assert image.get("vips-loader").startswith("webpload")
    assert np.array_equal(image.numpy(), theirs.numpy())


@pytest.mark.parametrize("options", [{"quality": 80}, {"lossless": True}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_smaller_ones_too(mode: str, options: dict[str, Any], shrink: int) -> None:
    for size in ((641, 479), (640, 480), (15, 9)):
        data = webp(mode, size, **options)
        theirs = pyvips.Image.new_from_buffer(data, "", scale=1 / shrink)
        decoded = libwebp.decode_pixels(data, Size(*size), theirs.bands, Size(theirs.width, theirs.height))
        assert decoded is not None
        assert bytes(decoded) == bytes(theirs.write_to_memory())
        assert np.array_equal(Picture(data, "webp").pixels(scale=1 / shrink).numpy(), theirs.numpy())


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_orientation_and_profile_come_along(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    profile = pictures.wide_gamut_profile()
    data = pictures.encoded(pictures.scene(40, 30), "webp", exif=exif, profile=profile)
    for orient in (True, False):
        image = Picture(data, "webp", LoadOptions(orient=orient)).pixels()
        assert image.get("orientation") == (orientation if orient else 1)
        assert image.get(PROFILE) == profile
        assert load.whole(Picture(data, "webp", LoadOptions(orient=orient))).width in (40, 30)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: pictures.film([pictures.scene(40, 30), pictures.detailed(40, 30)], "webp", [90, 90]), (40, 30, 3)),
        (lambda: webp(quality=80)[:-9], (121, 83, 3)),
        (lambda: webp(quality=80), (121, 84, 3)),
        (lambda: webp("RGBA"), (121, 83, 3)),
        (lambda: b"", (1, 1, 3)),
    ],
    ids=["animated", "cut off", "another size", "other bands", "empty"],
)
def test_what_is_odd_is_left_to_libvips(make: Callable[[], bytes], shape: tuple[int, int, int]) -> None:
    width, height, bands = shape
    assert libwebp.decode_pixels(make(), Size(width, height), bands, Size(width, height)) is None
