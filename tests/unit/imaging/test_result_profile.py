"""The colour profile of results, against arithmetic and LittleCMS (by Pillow)."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from imgserve.request.encode import Encode, Format, Profile
from imgserve.request.imageref import ImageRef
from imgserve.request.operations.composite import Composite
from tests.support import pictures, profiles, rasters
from tests.support.profiles import Floats
from tests.support.recipes import carried_out
from tests.unit.imaging.conftest import opened
from tests.unit.imaging.test_colour import colors, middles, squares
from tests.unit.imaging.test_encode import file_of, pictures_of_16_bits

SIZE = (64, 48)  # of the chart
LOSSLESS: tuple[Format, ...] = ("png", "tiff", "webp", "avif")
ALL: tuple[Format, ...] = (*LOSSLESS, "jpeg")
# Green and red beyond sRGB, that Display P3 and Adobe RGB can both store.
WIDE = np.array([[[20.0, 250, 30], [250, 40, 30], [0, 255, 0]]])


def encode(name: Format, profile: Profile) -> Encode:
    return Encode(name, 100 if name == "jpeg" else None, lossless=name in ("webp", "avif"), profile=profile)


def embedded(data: bytes) -> bytes:
    profile: bytes = opened(data).info.get("icc_profile", b"")
    return profile


def in_srgb(data: bytes) -> Image.Image:
    return in_srgb_of(opened(data))


def in_srgb_of(image: Image.Image) -> Image.Image:
    """As a viewer that knows profiles shows it."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    shown = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert shown is not None
    return shown


@pytest.mark.parametrize("name", ALL)
def test_srgb_becomes_display_p3(name: Format) -> None:
    chart = Image.fromarray(squares(colors()))
    data = file_of(encode(name, "p3"), pictures.encoded(chart, "png"), SIZE)
    expected = profiles.to_space(colors() / 255, profiles.DISPLAY_P3) * 255
    assert np.abs(middles(opened(data)) - expected).max() <= (1 if name != "jpeg" else 4)
    assert profiles.delta_e(middles(in_srgb(data)), colors()) < 2
    description = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(embedded(data))))
    assert description.strip() == "Display P3"


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("profile", ["p3", "source"])
def test_wide_colours_stay_wide(name: Format, profile: Profile) -> None:
    chart = Image.fromarray(squares(WIDE))
    source = pictures.encoded(chart, "png", profile=profiles.DISPLAY_P3.profile())
    data = file_of(encode(name, profile), source, chart.size)
    assert np.abs(middles(opened(data)) - WIDE).max() <= 1
    narrow = file_of(encode(name, "srgb"), source, chart.size)
    assert np.abs(middles(opened(narrow)) - WIDE).max() > 15, "the profile must matter"
    assert embedded(narrow) == b""


def test_adobe_rgb_becomes_display_p3() -> None:
    stored = profiles.to_space(colors() / 255, profiles.ADOBE_RGB) * 255
    source = pictures.encoded(Image.fromarray(squares(stored)), "png", profile=profiles.ADOBE_RGB.profile())
    expected = profiles.to_space(colors() / 255, profiles.DISPLAY_P3) * 255
    assert np.abs(middles(opened(file_of(encode("png", "p3"), source, SIZE))) - expected).max() <= 1.5


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("space", [profiles.ADOBE_RGB, profiles.SRGB], ids=["adobe", "srgb"])
def test_the_sources_profile_and_numbers_are_kept(name: Format, space: profiles.Space) -> None:
    chart = Image.fromarray(squares(colors()))
    for kind in ("png", "jpeg"):
        source = pictures.encoded(chart, kind, quality=100, profile=space.profile())
        data = file_of(encode(name, "source"), source, SIZE)
        assert embedded(data) == space.profile()
        assert np.abs(middles(opened(data)) - middles(opened(source))).max() <= (0 if name != "jpeg" else 5)


def test_a_source_without_a_profile_gives_none() -> None:
    for kind in ("png", "jpeg", "gif"):
        source = pictures.encoded(Image.fromarray(squares(colors())), kind)
        assert embedded(file_of(encode("jpeg", "source"), source, SIZE)) == b""


@pytest.mark.parametrize("name", ["png", "jpeg", "tiff"])
def test_grey(name: Format) -> None:
    source = pictures.encoded(Image.new("L", SIZE, 100), "png", profile=profiles.grey(1.8))
    kept = file_of(encode(name, "source"), source, SIZE)
    assert embedded(kept) == profiles.grey(1.8)
    assert opened(kept).convert("RGB").getpixel((9, 9)) == (100, 100, 100)
    wide = opened(file_of(encode(name, "p3"), pictures.encoded(Image.new("L", SIZE, 100), "png"), SIZE))
    assert (wide.mode, wide.getpixel((9, 9)), wide.info.get("icc_profile")) == ("L", 100, None)


def test_inks_cannot_be_kept() -> None:
    source = pictures.encoded(Image.new("CMYK", SIZE, (0, 255, 255, 0)), "jpeg")
    data = file_of(encode("png", "source"), source, SIZE)
    assert data == file_of(encode("png", "srgb"), source, SIZE)


@pytest.mark.parametrize("name", ["png", "tiff"])
def test_sixteen_bits_keep_their_tones(name: Format) -> None:
    """Sixteen steps within one of 8 bits."""
    ramp: Floats = np.full((48, 64, 3), 30_000.0) + np.arange(64)[None, :, None] * 4
    for space, profile in ((profiles.DISPLAY_P3, "p3"), (profiles.ADOBE_RGB, "source"), (profiles.ADOBE_RGB, "srgb")):
        source = rasters.png(ramp.astype(np.uint16), profile=space.profile())
        made = pictures_of_16_bits(file_of(Encode(name, bit_depth=16, profile=profile), source, SIZE))  # type: ignore[arg-type]
        assert len(np.unique(made[:, :, 0])) > 50
        if profile != "srgb":
            assert np.abs(made.astype(float) - ramp).max() <= 12


def test_an_svg_in_display_p3() -> None:
    source = (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9" fill="red"/></svg>'
    )
    data = file_of(encode("png", "p3"), source, (9, 9))
    expected = profiles.to_space(np.array([1.0, 0, 0]), profiles.DISPLAY_P3) * 255
    assert np.abs(np.array(opened(data).convert("RGB").getpixel((4, 4))) - expected).max() <= 1.5
    assert embedded(data)
    assert embedded(file_of(encode("png", "source"), source, (9, 9))) == b""


def test_a_palette_and_an_animation() -> None:
    source = pictures.encoded(Image.fromarray(squares(colors())), "png")
    assert embedded(file_of(Encode("png", colors=100, profile="p3"), source, SIZE))
    frames = [Image.new("RGB", SIZE, color) for color in ("red", "blue")]
    film = io.BytesIO()
    frames[0].save(film, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    data = file_of(encode("webp", "p3"), film.getvalue(), SIZE)
    shown = Image.open(io.BytesIO(data))
    assert (shown.n_frames, bool(shown.info["icc_profile"])) == (2, True)  # type: ignore[attr-defined]
    expected = profiles.to_space(np.array([1.0, 0, 0]), profiles.DISPLAY_P3) * 255
    assert np.abs(np.array(shown.convert("RGB").getpixel((4, 4))) - expected).max() <= 1.5


@pytest.mark.parametrize("profile", ["srgb", "p3", "source"])
@pytest.mark.parametrize("below", [None, profiles.DISPLAY_P3, profiles.ADOBE_RGB], ids=["srgb", "p3", "adobe"])
@pytest.mark.parametrize("above", [None, profiles.DISPLAY_P3], ids=["srgb", "p3"])
def test_a_composite_has_the_colours_of_its_ground(
    profile: Profile, below: profiles.Space | None, above: profiles.Space | None
) -> None:
    """All colours lie within sRGB, so they look the same whatever they are stored in."""

    def stored(chart: Floats, space: profiles.Space | None) -> bytes:
        numbers = chart if space is None else profiles.to_space(chart / 255, space) * 255
        image = Image.fromarray(squares(numbers))
        return pictures.encoded(image, "png", profile=None if space is None else space.profile())

    logo = colors()[::-1]
    drawn = Composite(ImageRef(name="logo"), gravity="northwest")
    corner = stored(logo[:1, :2], above)
    result = carried_out(stored(colors(), below), drawn, further=[corner], profile=profile)
    expected = colors()
    expected[:1, :2] = logo[:1, :2]
    shown = in_srgb_of(result) if result.info.get("icc_profile") else result
    assert profiles.delta_e(middles(shown), expected) < 2.5


@pytest.mark.parametrize("size_bytes", [65_519, 65_520, 200_000])
def test_a_long_profile_stands_in_several_segments_of_a_jpeg(size_bytes: int) -> None:
    long = profiles.ADOBE_RGB.profile()
    long = size_bytes.to_bytes(4, "big") + long[4:] + bytes(size_bytes - len(long))
    source = pictures.encoded(Image.fromarray(squares(colors())), "jpeg", quality=100, profile=long)
    data = file_of(encode("jpeg", "source"), source, SIZE)
    assert embedded(data) == long
    assert np.abs(middles(opened(data)) - middles(opened(source))).max() <= 5


def test_a_vast_profile_is_converted_instead() -> None:
    vast = profiles.ADOBE_RGB.profile()
    vast = (len(vast) + 2_000_000).to_bytes(4, "big") + vast[4:] + bytes(2_000_000)
    chart = squares(colors())
    source = io.BytesIO()
    Image.fromarray(chart).save(source, "PNG", icc_profile=vast)
    assert len(zlib.compress(vast)) < 100_000
    data = file_of(encode("png", "source"), source.getvalue(), SIZE)
    assert embedded(data) == b""
    assert np.abs(middles(opened(data)) - colors()).max() > 10
