"""A JPEG that becomes a smaller one in its planes, against libvips in linear light and Pillow, which know no planes."""

import ctypes
import functools
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imgserve.imaging.worker.cover import Part
from imgserve.imaging.worker.formats import inplanes, planes, turbojpeg
from imgserve.imaging.worker.formats.turbojpeg import Plane, Planes, Settings
from imgserve.imaging.worker.picture import Picture
from imgserve.request.imageinfo import Size
from tests.support import pictures

pytestmark = pytest.mark.skipif(not turbojpeg.is_there(), reason="needs libturbojpeg (Debian: libturbojpeg0)")

WIDTH, HEIGHT = 1999, 1501
NEAR = 2.0
SAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


@functools.cache
def scene(mode: str = "RGB", width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """To be read only."""
    return pictures.scene(width, height).convert(mode)


@functools.cache
def source(mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    scene(mode).save(out, "JPEG", quality=95, **options)
    return out.getvalue()


def smaller(data: bytes, size: tuple[int, int], part: Part | None = None, *, in_light: bool, **settings: Any) -> bytes:
    picture = Picture(data, "jpeg")
    header = picture.plain_jpeg
    assert header is not None
    part = part or Part(0, 0, header.width, header.height)
    file = inplanes.again(picture, part, Size(*size), Settings(95, **settings), is_in_light=in_light)
    assert file is not None
    return file


def shown(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file))


@functools.cache
def expected(
    size: tuple[int, int], mode: str = "RGB", box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    return scene(mode).resize(size, Image.Resampling.LANCZOS, box)


@pytest.mark.parametrize("in_light", [True, False])
@pytest.mark.parametrize("size", [(400, 300), (401, 301), (401, 300), (400, 301), (17, 16), (16, 201), (1333, 1001)])
@pytest.mark.parametrize("chroma", ["420", "444"])
def test_every_side_is_exact(size: tuple[int, int], chroma: str, in_light: bool) -> None:
    file = smaller(source(), size, in_light=in_light, chroma=chroma)
    assert shown(file).size == size
    theirs = io.BytesIO()  # with the same loss of chroma
    expected(size).save(theirs, "JPEG", quality=95, subsampling=SAMPLINGS[":".join(chroma)])
    assert pictures.distance(shown(file), Image.open(theirs)) < NEAR


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_every_sampling_at_every_scale(sampling: int, side: int) -> None:
    size = (WIDTH // (2 * side), HEIGHT // (2 * side))
    file = smaller(source(subsampling=sampling), size, in_light=False)
    assert pictures.distance(shown(file), expected(size)) < NEAR


@pytest.mark.parametrize("side", [1, 2, 4])
@pytest.mark.parametrize("sampling", [4, 5], ids=["4:4:0", "4:1:1"])
def test_samplings_that_pillow_does_not_write(sampling: int, side: int) -> None:
    data = written(sampling)
    header = Picture(data, "jpeg").plain_jpeg
    assert header is not None
    assert header.stored.sampling == sampling
    size = (WIDTH // (2 * side), HEIGHT // (2 * side))
    assert pictures.distance(shown(smaller(data, size, in_light=False)), expected(size)) < NEAR


def written(sampling: int, image: Image.Image | None = None) -> bytes:
    """By libjpeg-turbo, from RGB."""
    image = image or scene()
    library = ctypes.CDLL("libturbojpeg.so.0")
    library.tjInitCompress.restype = ctypes.c_void_p
    encoder, file, length = ctypes.c_void_p(library.tjInitCompress()), ctypes.c_void_p(), ctypes.c_ulong()
    pixels, (width, height) = image.convert("RGB").tobytes(), image.size
    places = (ctypes.byref(file), ctypes.byref(length))
    assert library.tjCompress2(encoder, pixels, width, width * 3, height, 0, *places, sampling, 95, 0) == 0
    return ctypes.string_at(file, length.value)


@pytest.mark.parametrize("sampling", [0, 1, 2, 4, 5], ids=["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1"])
@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_luma_beyond_the_picture_repeats_its_edge(sampling: int, side: int) -> None:
    """Of 257 pixels an eighth is 33, one block each: the library writes no 34th, which the resampler reads."""
    for size in ((257, 257), (250, 263), (1, 1)):
        data = written(sampling, Image.new("RGB", size, (255, 255, 255)))
        stored = turbojpeg.shape(data)
        assert stored is not None
        decoded = turbojpeg.decode_planes(data, stored, side)
        assert decoded is not None
        for plane in decoded.planes:
            assert len(set(plane.samples)) == 1, (size, plane.width, plane.height)


@pytest.mark.parametrize("in_light", [True, False])
def test_grey_has_one_plane(in_light: bool) -> None:
    file = smaller(source("L"), (401, 301), in_light=in_light)
    assert shown(file).mode == "L"
    assert pictures.distance(shown(file), expected((401, 301), "L")) < NEAR


@pytest.mark.parametrize("corner", [(0, 0), (999, 701), (333, 100)])
def test_a_part_stays_in_its_place(corner: tuple[int, int]) -> None:
    part = Part(*corner, 1000, 800)
    box = (corner[0], corner[1], corner[0] + 1000, corner[1] + 800)
    for size in ((250, 200), (301, 241)):
        file = smaller(source(), size, part, in_light=False)
        assert pictures.distance(shown(file), expected(size, box=box)) < NEAR


@pytest.mark.parametrize("settings", [{}, {"is_progressive": True}, {"chroma": "444"}])
def test_it_is_written_as_the_recipe_says(settings: dict[str, Any]) -> None:
    """A progressive file and a plain one by turns: their encoders share no tables."""
    for _ in range(2):
        told = shown(smaller(source(), (401, 301), in_light=True, **settings))
        assert bool(told.info.get("progressive")) == settings.get("is_progressive", False)
        told.load()
        smaller(source(), (401, 301), in_light=True)


@pytest.mark.parametrize("part", [Part(0, 0, WIDTH, HEIGHT), Part(13.4, 5.7, 1700.9, 1380.3)])
@pytest.mark.parametrize("size", [(401, 301), (1333, 1001)])
def test_no_seam_is_seen_between_bands(part: Part, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(2011).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    luma = Plane(WIDTH, HEIGHT, 1, 1, noise.tobytes())
    results = []
    for samples in (WIDTH * HEIGHT, WIDTH * 100, 1):
        monkeypatch.setattr(planes, "BAND_SAMPLES", samples)
        (result,) = planes.smaller(Planes((luma,)), part, Size(*size), 1, is_in_light=True)
        results.append(np.frombuffer(result, np.uint8).astype(int))
    assert len(results[0]) == size[0] * size[1]
    assert max(np.abs(result - results[0]).max() for result in results) <= 1


def test_light_is_what_is_averaged() -> None:
    """Lines of one pixel, black and white, give half of the light: the value of 188 in sRGB, 180 by squares."""
    lines = np.zeros((400, 400), np.uint8)
    lines[:, ::2] = 255
    out = io.BytesIO()
    Image.fromarray(lines).save(out, "JPEG", quality=100)
    for in_light, value in ((True, 180), (False, 128)):
        grey = np.asarray(shown(smaller(out.getvalue(), (260, 260), in_light=in_light)))[50:200, 50:200]
        assert abs(float(grey.mean()) - value) < 3, in_light


def test_chroma_lies_over_its_luma() -> None:
    """An edge between two colours of one luma stays where it is, at both ends of a picture with odd sides."""
    luma = Plane(800, 800, 1, 1, bytes([128]) * 800**2)
    for at in (40, 360):
        edge = np.full((400, 400), 90, np.uint8)
        edge[:, at:] = 160
        chroma = [Plane(400, 400, 2, 2, values.tobytes()) for values in (edge, edge.T)]
        _, blue, red = planes.smaller(
            Planes((luma, *chroma)), Part(0, 0, 800, 800), Size(401, 401), 2, is_in_light=False
        )
        for plane, row in ((blue, 0), (red, 1)):
            line = np.frombuffer(plane, np.uint8).reshape(201, 201).swapaxes(0, row)[100].astype(float)
            # The place of the step, in luma pixels of the result.
            place = 2 * float((160 - line).sum() / (160 - 90))
            assert abs(place - 2 * at * 401 / 800) < 0.1, (at, row)


@functools.cache
def upright(size: tuple[int, int], mode: str) -> Image.Image:
    return scene(mode, 1200, 902).resize(size, Image.Resampling.LANCZOS)


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_upright(orientation: int, mode: str) -> None:
    data = pictures.oriented_jpeg(scene(mode, 1200, 902), orientation)
    for size in ((160, 120), (120, 160)):
        file = smaller(data, size, Part(0, 0, 1200, 902), in_light=False)
        assert pictures.distance(shown(file), upright(size, mode)) < NEAR


def test_a_turned_one_with_odd_sides_is_left_to_another_road() -> None:
    picture = Picture(pictures.oriented_jpeg(scene("RGB", 1200, 902), 6), "jpeg")
    part, settings = Part(0, 0, 1200, 902), Settings(80)
    assert inplanes.again(picture, part, Size(160, 120), settings) is not None
    assert inplanes.again(picture, part, Size(161, 120), settings) is None
    assert inplanes.again(picture, part, Size(161, 121), settings._replace(chroma="444")) is not None
