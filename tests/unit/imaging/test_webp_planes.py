"""A WebP that becomes a smaller one in its planes, and JPEGs on either side, against libvips and Pillow, by RGB."""

import functools
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import load, save
from imgserve.imaging.worker.cover import Part
from imgserve.imaging.worker.formats import inplanes, libwebp, resizer, turbojpeg
from imgserve.imaging.worker.picture import Picture
from imgserve.imaging.worker.pixelcache import PixelCache
from imgserve.imaging.worker.steps import resize
from imgserve.request.encode import Encode
from imgserve.request.geometry import Shape
from imgserve.request.imageinfo import Size, SourceFormat
from imgserve.request.operations.resize import Resize
from tests.support import pictures, profiles
from tests.unit.imaging.conftest import Render, opened, render_bytes

pytestmark = pytest.mark.skipif(
    not (libwebp.is_there() and turbojpeg.is_there() and resizer.is_there()),
    reason="needs libwebp, libturbojpeg (Debian: libturbojpeg0) and cykooz-resizer",
)

WIDTH, HEIGHT = 999, 751
NEAR = 2.0
NEAR_COLOUR = 3
TO_WEBP, TO_JPEG, TO_FULL_CHROMA = libwebp.Settings(95, 2), turbojpeg.Settings(95, "420"), turbojpeg.Settings(95, "444")
COLOURS = [(255, 255, 255), (0, 0, 0), (128, 128, 128), (220, 30, 30), (30, 200, 60), (20, 40, 230), (250, 230, 10)]
# A source and the settings of a result. Of JPEG to JPEG test_planes has the tests.
ROADS: dict[str, tuple[SourceFormat, inplanes.Settings]] = {
    "webp to webp": ("webp", TO_WEBP),
    "jpeg to webp": ("jpeg", TO_WEBP),
    "webp to jpeg": ("webp", TO_JPEG),
    "webp to jpeg 4:4:4": ("webp", TO_FULL_CHROMA),
}
roads = pytest.mark.parametrize(("source_format", "settings"), ROADS.values(), ids=ROADS)


@functools.cache
def source(source_format: SourceFormat = "webp", mode: str = "RGB", **options: Any) -> bytes:
    return pictures.encoded(pictures.scene(WIDTH, HEIGHT).convert(mode), source_format, **options)


def smaller(
    data: bytes,
    size: tuple[int, int],
    settings: inplanes.Settings = TO_WEBP,
    part: Part | None = None,
    *,
    source_format: SourceFormat = "webp",
    in_light: bool = False,
) -> bytes | None:
    picture = Picture(data, source_format)
    info = load.info(picture)
    part = part or Part(0, 0, info.width_px, info.height_px)
    return inplanes.again(picture, part, Size(*size), settings, is_in_light=in_light)


def shown(file: bytes | None) -> Image.Image:
    assert file is not None
    return opened(file).convert("RGB")


def lossy(image: Image.Image, settings: inplanes.Settings) -> Image.Image:
    """As Pillow writes it in the same format, with the same loss of chroma."""
    out = io.BytesIO()
    if isinstance(settings, libwebp.Settings):
        image.save(out, "WEBP", quality=settings.quality)
    else:
        image.save(out, "JPEG", quality=settings.quality, subsampling=":".join(settings.chroma))
    return shown(out.getvalue())


def expected(size: tuple[int, int], box: tuple[float, float, float, float] | None = None) -> Image.Image:
    return pictures.scene(WIDTH, HEIGHT).resize(size, Image.Resampling.LANCZOS, box)


@roads
@pytest.mark.parametrize("in_light", [True, False])
@pytest.mark.parametrize("size", [(400, 300), (401, 301), (401, 300), (400, 301), (17, 16), (16, 201), (WIDTH, HEIGHT)])
def test_every_side_is_exact(
    source_format: SourceFormat, settings: inplanes.Settings, size: tuple[int, int], in_light: bool
) -> None:
    file = smaller(source(source_format), size, settings, source_format=source_format, in_light=in_light)
    assert pictures.distance(shown(file), lossy(expected(size), settings)) < NEAR


@roads
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("in_light", [True, False])
def test_a_colour_is_the_same_behind_every_road(
    source_format: SourceFormat, settings: inplanes.Settings, colour: tuple[int, int, int], in_light: bool
) -> None:
    """JPEG and WebP have other values for black, white and the colours between. No pixel at the edges differs."""
    data = pictures.encoded(Image.new("RGB", (301, 203), colour), source_format)
    file = smaller(data, (101, 67), settings, source_format=source_format, in_light=in_light)
    assert np.abs(np.asarray(shown(file)).astype(int) - colour).max() <= NEAR_COLOUR


def test_grey_gets_the_chroma_that_webp_always_has() -> None:
    for size in ((400, 300), (401, 301)):
        result = shown(smaller(source("jpeg", "L"), size, source_format="jpeg"))
        assert pictures.distance(result.convert("L"), expected(size).convert("L")) < NEAR
        assert int(np.ptp(np.asarray(result), axis=2).max()) <= NEAR_COLOUR


def test_as_by_libvips() -> None:
    """Of detail too, which both make smaller by Lanczos."""
    data = pictures.encoded(pictures.detailed(WIDTH, HEIGHT), "webp")
    theirs = Image.fromarray(np.asarray(load.scaled(Picture(data, "webp"), Size(400, 300)).numpy()))
    assert pictures.distance(shown(smaller(data, (400, 300))), lossy(theirs, TO_WEBP)) < NEAR


@pytest.mark.parametrize("corner", [(0, 0), (499, 351), (333, 100)])
def test_a_part_stays_in_its_place(corner: tuple[int, int]) -> None:
    part, box = Part(*corner, 500, 400), (corner[0], corner[1], corner[0] + 500, corner[1] + 400)
    for size in ((250, 200), (301, 241)):
        assert pictures.distance(shown(smaller(source(), size, part=part)), expected(size, box)) < NEAR


@pytest.mark.parametrize("settings", [TO_WEBP, TO_JPEG])
@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_upright(orientation: int, settings: inplanes.Settings) -> None:
    scene = pictures.scene(600, 452)
    data = pictures.oriented(scene, orientation, "webp")
    for size in ((160, 120), (120, 160)):
        result = shown(smaller(data, size, settings))
        assert pictures.distance(result, scene.resize(size, Image.Resampling.LANCZOS)) < NEAR


def test_a_turned_one_with_odd_sides_is_left_to_libvips() -> None:
    data = pictures.oriented(pictures.scene(600, 452), 6, "webp")
    assert smaller(data, (161, 120)) is None
    assert smaller(data, (161, 121), TO_FULL_CHROMA) is not None


def test_light_is_what_is_averaged() -> None:
    """Lines of one pixel, black and white, which in a WebP are 16 and 235: the middle of their squares, or of them."""
    lines = np.zeros((400, 400), np.uint8)
    lines[:, ::2] = 255
    data = pictures.encoded(Image.fromarray(lines).convert("RGB"), "webp", quality=100)
    middle = math.sqrt((16**2 + 235**2) / 2)
    for in_light, value in ((True, (middle - 16) * 255 / 219), (False, 127.5)):
        grey = np.asarray(shown(smaller(data, (260, 260), in_light=in_light)).convert("L"))[50:200, 50:200]
        assert abs(float(grey.mean()) - value) < 3, in_light


def test_chroma_lies_over_its_luma() -> None:
    """An edge between two colours stays where it is."""
    for at in (80, 720):
        edge = np.full((800, 800, 3), (200, 60, 60), np.uint8)
        edge[:, at:] = (60, 60, 200)
        data = pictures.encoded(Image.fromarray(edge), "webp", quality=100)
        line = np.asarray(shown(smaller(data, (401, 401))))[200].astype(float)
        red = (line[:, 0] - 60) / 140
        assert abs(float(red.sum()) - at * 401 / 800) < 0.5, at


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: pictures.encoded(pictures.scene(400, 300, "RGBA"), "webp"), (200, 150)),
        (lambda: lossless(), (200, 150)),
        (lambda: pictures.film([pictures.scene(400, 300), pictures.detailed(400, 300)], "webp", [90, 90]), (200, 150)),
        (lambda: source(profile=pictures.wide_gamut_profile()), (200, 150)),
        (source, (WIDTH + 1, HEIGHT)),
        (source, (200, 15)),
        (lambda: pictures.encoded(Image.new("RGB", (4100, 4100)), "webp"), (200, 200)),
    ],
    ids=["alpha", "lossless", "animated", "profile", "enlarged", "tiny", "large"],
)
def test_what_is_odd_is_left_to_libvips(make: Callable[[], bytes], size: tuple[int, int]) -> None:
    assert smaller(make(), size) is None


def lossless() -> bytes:
    out = io.BytesIO()
    pictures.scene(400, 300).save(out, "WEBP", lossless=True)
    return out.getvalue()


def test_a_profile_of_srgb_is_none() -> None:
    assert smaller(source(profile=profiles.SRGB.profile()), (200, 150)) is not None


def test_a_cut_off_one_is_not_plain() -> None:
    assert Picture(source(), "webp").plain_webp is not None
    assert Picture(source()[:-2], "webp").plain_webp is None


def test_what_is_broken_is_left_to_libvips_which_refuses_it(render: Render) -> None:
    data = bytearray(pictures.encoded(pictures.detailed(800, 600), "webp"))
    del data[len(data) // 2 :]
    for at in (4, 16):  # the lengths of the file and of the picture in it
        data[at : at + 4] = (len(data) - at - 4).to_bytes(4, "little")
    assert Picture(bytes(data), "webp").plain_webp is not None
    assert smaller(bytes(data), (200, 150)) is None
    with pytest.raises(SourceUnreadable):
        render(bytes(data), Resize(), (200, 150), "webp")


@roads
def test_every_render_goes_this_way(source_format: SourceFormat, settings: inplanes.Settings) -> None:
    """From the request to the file: the same bytes."""
    if settings == TO_FULL_CHROMA:
        return
    output_format: Any = "webp" if settings == TO_WEBP else "jpeg"
    usual = libwebp.Settings(79, 2) if output_format == "webp" else turbojpeg.Settings(80)
    file = render_bytes(source(source_format), Resize(width=400), (400, 301), output_format)
    assert file == smaller(source(source_format), (400, 301), usual, source_format=source_format, in_light=True)


def test_the_settings_of_the_recipe_count() -> None:
    picture, shape = Picture(pictures.encoded(pictures.detailed(800, 600), "webp"), "webp"), Shape(800, 600, "webp")
    sizes = []
    for quality, effort in ((80, "fast"), (80, None), (80, "best"), (20, "best")):
        settings = save.plane_settings(Encode("webp", quality=quality, effort=effort), "webp")  # type: ignore[arg-type]
        assert settings is not None
        file = resize.in_planes(picture, Resize(400, 300), shape, Size(400, 300), settings)
        assert file is not None
        sizes.append(len(file))
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)


@pytest.mark.parametrize("encode", [Encode("webp", lossless=True), Encode("webp", near_lossless=60), Encode("png")])
def test_no_planes_for_other_results(encode: Encode) -> None:
    assert encode.format is not None
    assert save.plane_settings(encode, encode.format) is None


def test_two_renderings_share_one_decode() -> None:
    cache = PixelCache()
    picture = Picture(source(), "webp", cache=cache)
    for size in (Size(400, 300), Size(200, 150)):
        assert inplanes.again(picture, Part(0, 0, WIDTH, HEIGHT), size, TO_WEBP) is not None
    assert len(cache) == 1


def by_light(data: bytes, size: tuple[int, int], source_format: SourceFormat = "webp") -> Image.Image | None:
    picture = Picture(data, source_format)
    info = load.info(picture)
    image = inplanes.scaled(picture, Part(0, 0, info.width_px, info.height_px), Size(*size))
    if image is None:
        return None
    pixels = np.asarray(image.numpy())
    return Image.fromarray(pixels[:, :, 0] if image.bands == 1 and pixels.ndim == 3 else pixels)


@pytest.mark.parametrize("source_format", ["webp", "jpeg"])
@pytest.mark.parametrize("size", [(400, 300), (401, 301), (301, 400), (666, 500)])
def test_pixels_by_light(source_format: SourceFormat, size: tuple[int, int]) -> None:
    image = by_light(source(source_format), size, source_format)
    assert image is not None
    assert pictures.distance(image, expected(size)) < NEAR


@pytest.mark.parametrize("source_format", ["webp", "jpeg"])
@pytest.mark.parametrize("colour", COLOURS)
def test_pixels_have_their_colour(source_format: SourceFormat, colour: tuple[int, int, int]) -> None:
    image = by_light(pictures.encoded(Image.new("RGB", (901, 603), colour), source_format), (401, 301), source_format)
    assert np.abs(np.asarray(image).astype(int) - colour).max() <= NEAR_COLOUR


def test_pixels_of_grey_are_grey() -> None:
    image = by_light(source("jpeg", "L"), (401, 301), "jpeg")
    assert image is not None
    assert pictures.distance(image, expected((401, 301)).convert("L")) < NEAR


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_pixels_are_upright(orientation: int) -> None:
    scene = pictures.scene(600, 452)
    for source_format in ("jpeg", "webp"):
        data = pictures.oriented(scene, orientation, source_format)
        for size in ((301, 226), (226, 301)):
            image = by_light(data, size, source_format)
            assert image is not None
            assert pictures.distance(image, scene.resize(size, Image.Resampling.LANCZOS)) < NEAR


@pytest.mark.parametrize(
    ("source_format", "size"), [("webp", (700, 526)), ("webp", (15, 100)), ("jpeg", (700, 526)), ("jpeg", (255, 256))]
)
def test_where_light_shows_little_other_roads_are_taken(source_format: SourceFormat, size: tuple[int, int]) -> None:
    assert by_light(source(source_format), size, source_format) is None


@pytest.mark.parametrize("source_format", ["webp", "jpeg"])
@pytest.mark.parametrize(("linear_light", "is_lighter"), [("auto", True), (False, False)])
def test_results_without_planes_are_made_by_light_too(
    source_format: SourceFormat, linear_light: Any, is_lighter: bool
) -> None:
    """Lines of one pixel: by their stored values the result has 128."""
    lines = np.zeros((800, 800, 3), np.uint8)
    lines[:, ::2] = 255
    data = pictures.encoded(Image.fromarray(lines), source_format, quality=100)
    result = opened(render_bytes(data, Resize(400, 400, linear_light=linear_light), (400, 400), "png"))
    assert (float(np.asarray(result.convert("L"))[50:350, 50:350].mean()) > 165) == is_lighter
