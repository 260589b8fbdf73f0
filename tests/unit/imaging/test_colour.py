"""Colours as they are sent: profiles, inks, greys and depths, against arithmetic (CIE76 distances) and Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker.probe import probe
from imgserve.request.encode import Format
from imgserve.request.limits import Limits
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.resize import Resize
from tests.support import pictures, profiles, rasters
from tests.support.profiles import Floats, Space
from tests.unit.imaging.conftest import Render, picture

CLOSE_DELTA_E = 2.0  # side by side, hardly anybody can tell such colours apart
SQUARE = 16
PAPER, CYAN, MAGENTA, YELLOW, BLACK = (0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255)
RED, GREEN, BLUE = (0, 255, 255, 0), (255, 0, 255, 0), (255, 255, 0, 0)


def colors() -> Floats:
    """Twelve sRGB colours, 0 to 255; sRGB lies inside the wider spaces, so each can be stored in all of them."""
    return np.random.default_rng(1).integers(5, 251, (3, 4, 3)).astype(float)


def squares(chart: Floats, dtype: type = np.uint8) -> "np.ndarray[tuple[int, ...], np.dtype[np.integer]]":
    """A chart of flat squares, each of its own colour."""
    large: np.ndarray[tuple[int, ...], np.dtype[np.integer]] = np.kron(
        chart.round(), np.ones((SQUARE, SQUARE, 1))
    ).astype(dtype)
    return large


def middles(image: Image.Image) -> Floats:
    return np.asarray(image.convert("RGB"))[SQUARE // 2 :: SQUARE, SQUARE // 2 :: SQUARE].astype(float)


def shown_in(space: Space, stored: Floats) -> Floats:
    """sRGB, 0 to 255, of colours (0 to 255) that ``space`` stores."""
    xyz = space.linear(stored / 255) @ space.colorants().T
    return profiles.SRGB.encoded(xyz @ np.linalg.inv(profiles.SRGB.colorants()).T) * 255


def flat(inks: tuple[int, ...], mode: str = "CMYK") -> Image.Image:
    return Image.new(mode, (64, 64), inks)


@pytest.mark.parametrize("space", [profiles.DISPLAY_P3, profiles.ADOBE_RGB, profiles.SRGB], ids=["p3", "adobe", "srgb"])
@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff", "avif"])
def test_wide_gamuts_keep_their_colours(render: Render, space: Space, name: Format) -> None:
    chart = squares(profiles.to_space(colors() / 255, space) * 255)
    data = pictures.encoded(Image.fromarray(chart), name, quality=100, profile=space.profile())
    coded = middles(Image.open(io.BytesIO(data)))  # what is left of the chart in a lossy file
    result = middles(render(data, Resize(), (64, 48)))
    assert profiles.delta_e(result, shown_in(space, coded)) < CLOSE_DELTA_E
    if space is not profiles.SRGB:
        assert profiles.delta_e(coded, shown_in(space, coded)) > 10, "the profile must matter"


def test_wide_gamut_with_gps_gives_the_colours_and_no_place(render: Render) -> None:
    exif = pictures.gps_exif()
    data = pictures.encoded(
        Image.fromarray(squares(profiles.to_space(colors() / 255, profiles.DISPLAY_P3) * 255)),
        "png", profile=profiles.DISPLAY_P3.profile(), exif=exif,
    )  # fmt: skip
    assert pictures.GPS_CITY.encode() in data
    result = render(data, Resize(), (64, 48))
    assert profiles.delta_e(middles(result), colors()) < CLOSE_DELTA_E
    assert not result.getexif()
    assert "icc_profile" not in result.info


@pytest.mark.parametrize("bands", [3, 4])
def test_sixteen_bits_with_a_profile(render: Render, bands: int) -> None:
    chart = squares(profiles.to_space(colors() / 255, profiles.ADOBE_RGB) * 65535, np.uint16)
    if bands == 4:
        chart = np.concatenate([chart, np.full((*chart.shape[:2], 1), 65535, np.uint16)], axis=2)
    profile = profiles.ADOBE_RGB.profile()
    for data in (rasters.png(chart, profile=profile), rasters.tiff(chart, rasters.RGB, alpha=2, profile=profile)):
        assert profiles.delta_e(middles(render(data, Resize(), (64, 48))), colors()) < CLOSE_DELTA_E


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("is_interlaced", [False, True])
def test_sixteen_bits_become_eight(render: Render, bands: int, is_interlaced: bool) -> None:
    scene = np.asarray(pictures.scene(120, 80, "RGBA"))
    pixels = scene[:, :, {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[bands]]
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[bands]
    data = rasters.png(pixels.astype(np.uint16) * 257, is_interlaced=is_interlaced)
    result = render(data, Resize(), (120, 80))
    assert result.mode == mode
    visible = pixels[:, :, -1:] > 30 if bands in (2, 4) else np.ones((80, 120, 1), bool)
    away = np.abs(np.asarray(result).reshape(pixels.shape).astype(int) - pixels)
    assert (away * visible).max() <= 3


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_profiles(render: Render, gamma: float, mode: str) -> None:
    data = pictures.encoded(Image.new("L", (64, 64), 100).convert(mode), "png", profile=profiles.grey(gamma))
    expected = float(profiles.SRGB.encoded(np.array((100 / 255) ** gamma))) * 255
    assert np.abs(np.asarray(render(data, Resize(), (32, 32)).convert("RGB"))[5, 5] - expected).max() < 1


def overprints() -> Floats:
    """L*a*b* of all sixteen full overprints of a press that never was: whole numbers."""
    on = np.moveaxis(np.indices((2, 2, 2, 2)).astype(float), 0, -1)
    shades = on[..., :3] @ np.array([[-20.0, -20, -25], [-25, 35, 2], [-5, -3, 45]]) + [100, 0, 0]
    inks: Floats = (shades * (1 - 0.8 * on[..., 3:])).round()
    return inks


@pytest.mark.parametrize("name", ["jpeg", "tiff"])
@pytest.mark.parametrize("inks", [PAPER, CYAN, MAGENTA, YELLOW, BLACK, RED, GREEN, BLUE, (0, 128, 0, 0)])
def test_inks_by_their_profile(render: Render, name: Format, inks: tuple[int, ...]) -> None:
    share = np.array(inks) / 255
    full = overprints()[tuple(np.ceil(share).astype(int))]
    paper = overprints()[0, 0, 0, 0]
    expected = profiles.from_lab(paper + (full - paper) * share.max()) * 255
    data = pictures.encoded(flat(inks), name, quality=100, profile=profiles.press(overprints()))
    shown = np.asarray(render(data, Resize(), (32, 32)))[5, 5].astype(float)
    assert profiles.delta_e(shown, expected) < CLOSE_DELTA_E


# The aims of ISO 12647-2 for coated paper, under D50; what a printer would expect of ink without a profile.
@pytest.mark.parametrize(
    ("inks", "aim"),
    [(PAPER, (100, 0, 0)), (CYAN, (55, -37, -50)), (MAGENTA, (48, 74, -3)), (YELLOW, (89, -5, 93)), (RED, (47, 68, 48)),
     (GREEN, (50, -65, 27)), (BLUE, (24, 22, -46)), (BLACK, (16, 0, 0))],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["jpeg", "jpeg without Adobe's mark", "tiff", "tiff of 16 bits", "broken profile"])
def test_inks_without_a_profile_look_like_print(
    render: Render, inks: tuple[int, ...], aim: tuple[int, ...], kind: str
) -> None:
    data = {
        "jpeg": lambda: pictures.encoded(flat(inks), "jpeg"),
        "jpeg without Adobe's mark": lambda: without_adobe(pictures.encoded(flat(inks), "jpeg")),
        "tiff": lambda: pictures.encoded(flat(inks), "tiff"),
        "tiff of 16 bits": lambda: rasters.tiff(np.full((64, 64, 4), inks, np.uint16) * 257, rasters.CMYK),
        "broken profile": lambda: pictures.encoded(flat(inks), "jpeg", profile=b"nonsense" * 40),
    }[kind]()
    shown = np.asarray(render(data, Resize(), (32, 32)))[5, 5].astype(float)
    assert profiles.delta_e(shown, profiles.from_lab(np.array(aim, float)) * 255) < 8


def without_adobe(jpeg: bytes) -> bytes:
    """The same without its APP14 segment: inks stay inverted, as every program that writes CMYK JPEGs has them."""
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big") :]


def test_inks_with_alpha_and_spot_colours(render: Render) -> None:
    for extra in ([128], [128, 9], [128, 9, 77]):
        pixels = np.tile(np.array([*RED, *extra], np.uint8), (40, 60, 1))
        shown = np.asarray(render(rasters.tiff(pixels, rasters.CMYK, alpha=2), Resize(), (30, 20)).convert("RGBA"))
        assert abs(int(shown[5, 5, 3]) - 128) <= 1
        assert profiles.delta_e(shown[5, 5, :3].astype(float), profiles.from_lab(np.array([47.0, 68, 48])) * 255) < 8


def test_spare_bands_are_no_alpha(render: Render) -> None:
    pixels = np.tile(np.array([200, 80, 60, 255, 9], np.uint8), (40, 60, 1))
    shown = np.asarray(render(rasters.tiff(pixels, rasters.RGB, alpha=2), Resize(), (30, 20)))
    assert np.abs(shown[5, 5].astype(int) - (200, 80, 60, 255)).max() <= 1


@pytest.mark.parametrize("alpha", [1, 2])
def test_alpha_of_a_tiff_that_is_multiplied_in_or_not(render: Render, alpha: int) -> None:
    stored = (100, 40, 30, 128) if alpha == 1 else (200, 80, 60, 128)
    data = rasters.tiff(np.tile(np.array(stored, np.uint8), (40, 60, 1)), rasters.RGB, alpha=alpha)
    assert np.abs(np.asarray(render(data, Resize(), (30, 20)))[5, 5].astype(int) - (200, 80, 60, 128)).max() <= 3


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("photometric", [rasters.RGB, rasters.BLACK_IS_ZERO])
def test_multiplied_white_stays_white(photometric: int, kind: str) -> None:
    alpha = (np.arange(256).reshape(16, 16) * (257 if kind == "u2" else 1)).astype(kind)
    pixels = np.stack([alpha] * (4 if photometric == rasters.RGB else 2), axis=-1)
    shown = np.asarray(picture(rasters.tiff(pixels, photometric, alpha=1), Flop()).convert("RGBA"))[:, ::-1]
    assert np.array_equal(shown[..., 3].ravel(), np.arange(256))
    assert np.all(shown[shown[..., 3] > 0][:, :3] == 255)


@pytest.mark.parametrize("kind", ["f4", "i2", "u4"])
def test_measurements_are_no_picture(render: Render, kind: str) -> None:
    pixels = np.full((40, 60, 1), 100, kind)
    with pytest.raises(SourceUnreadable, match="neither what is black nor what is white"):
        probe(rasters.tiff(pixels, rasters.BLACK_IS_ZERO), Limits(), is_complete=True)


def test_linear_light_and_white_is_zero(render: Render) -> None:
    half = render(rasters.tiff(np.full((40, 60, 3), 0.5, "f4"), rasters.RGB), Resize(), (30, 20))
    assert np.abs(np.asarray(half)[5, 5] - float(profiles.SRGB.encoded(np.array(0.5))) * 255).max() < 1
    inverted = render(rasters.tiff(np.full((40, 60, 1), 55, np.uint8), rasters.WHITE_IS_ZERO), Resize(), (30, 20))
    assert np.asarray(inverted)[5, 5] == 200


@pytest.mark.parametrize("damage", ["cut", "nonsense", "another kind", "empty"])
@pytest.mark.parametrize("name", ["jpeg", "png", "webp"])
def test_a_profile_that_cannot_be_used_leaves_the_picture_as_it_is(render: Render, name: Format, damage: str) -> None:
    good = profiles.DISPLAY_P3.profile()
    profile = {
        "cut": good[:200],
        "nonsense": b"junk" * 99,
        "another kind": profiles.press(overprints()),
        "empty": b"\0",
    }
    scene = pictures.scene(64, 48)
    data = pictures.encoded(scene, name, profile=profile[damage])
    assert pictures.distance(render(data, Resize(), (64, 48)), scene) < 4
