"""How a PNG is filtered: by what the picture shows, not by the kind of file it came from. And the bytes of a WebP."""

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageDraw

from imgserve.blob import Blob
from imgserve.imaging.worker import save
from imgserve.imaging.worker.formats import libwebp, turbojpeg
from imgserve.request.encode import Encode
from imgserve.request.operations.resize import Resize
from tests.support import pictures
from tests.unit.imaging.conftest import opened, render_bytes

SIZE = (300, 225)


def diagram() -> Image.Image:
    image = Image.new("RGB", (600, 450), "white")
    pen = ImageDraw.Draw(image)
    for n in range(12):
        pen.rectangle((20 + 45 * n, 400 - 30 * n, 50 + 45 * n, 420), fill=(20 * n, 90, 255 - 20 * n))
        pen.line((0, 35 * n, 600, 35 * n), fill="black", width=2)
    return image


def product() -> Image.Image:
    """A photograph on a white ground."""
    image = Image.new("RGB", (600, 450), "white")
    image.paste(pictures.detailed(300, 440), (150, 5))
    return image


def plain(image: Image.Image) -> int:
    """The bytes of these pixels by zlib at its usual effort, without a filter (PNG third edition, 9)."""
    rows = np.asarray(image.convert("RGB"))
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows), 6)
    return len(packed)


@pytest.mark.parametrize("source", ["png", "jpeg", "webp", "tiff"])
def test_a_photograph_is_filtered_whatever_it_came_as(source: str) -> None:
    for scene in (pictures.scene(600, 450), product()):
        data = render_bytes(pictures.encoded(scene, source), Resize(), SIZE)
        assert len(data) < 0.8 * plain(opened(data))


def test_a_drawing_is_not() -> None:
    for source in ("png", "gif"):
        data = render_bytes(pictures.encoded(diagram(), source), Resize(), SIZE)
        assert len(data) < 1.25 * plain(opened(data))


def test_what_was_an_svg_is_not() -> None:
    """Where its colours run into each other too: a filter makes it longer."""
    svg = (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300"><defs><linearGradient id="g" x2="1" y2="1">'
        b'<stop stop-color="#123"/><stop offset="1" stop-color="#fa5"/></linearGradient></defs>'
        b'<circle cx="200" cy="150" r="150" fill="url(#g)"/></svg>'
    )
    drawn = render_bytes(svg, Resize(), SIZE)
    again = render_bytes(drawn, Resize(), SIZE)
    assert np.array_equal(np.asarray(opened(drawn)), np.asarray(opened(again)))
    assert len(drawn) < 0.95 * len(again)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 2)])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pictures_of_hardly_any_pixels(size: tuple[int, int], mode: str) -> None:
    data = pictures.encoded(Image.new(mode, (80, 80)), "png")
    assert opened(render_bytes(data, Resize(), size)).size == size


def test_a_filtered_png_shows_the_same() -> None:
    scene = pictures.detailed(300, 225)
    data = render_bytes(pictures.encoded(scene, "png"), Resize(), SIZE)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), np.asarray(scene))


@pytest.mark.skipif(not libwebp.is_there(), reason="needs libwebp")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("settings", [{}, {"quality": 30, "effort": "fast"}, {"quality": 95, "effort": "best"}])
@pytest.mark.parametrize("size", [(200, 150), (201, 151), (1, 1), (1, 40)])
def test_a_webp_has_the_bytes_of_libvips(mode: str, settings: dict[str, Any], size: tuple[int, int]) -> None:
    scene = pictures.detailed(*size).convert(mode)
    if mode == "RGBA":
        scene.putalpha(pictures.scene(*size).convert("L"))
    image = pyvips.Image.new_from_buffer(pictures.encoded(scene, "png"), "").copy_memory()
    encode = Encode("webp", **settings)
    method = {"fast": 0, "balanced": 2, "best": 6}[encode.effort or "balanced"]
    theirs = image.webpsave_buffer(Q=encode.quality or 79, effort=method, keep="none")
    with Blob() as result:
        save.write(image, "webp", encode, result.fd)
        assert Path(f"/proc/self/fd/{result.fd}").read_bytes() == theirs
    if mode != "L":
        pixels = turbojpeg.Decoded(*size, image.bands, scene.tobytes())
        assert libwebp.encode_pixels(pixels, libwebp.Settings(encode.quality or 79, method)) == theirs
