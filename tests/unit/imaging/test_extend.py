"""extend: its margins by numpy's own padding, its pixels as they were."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from imgserve.request.encode import Format
from imgserve.request.operations.extend import Extend, Mode
from imgserve.request.operations.flip import Flip
from tests.support import colours, pictures, rasters
from tests.unit.imaging.conftest import carried_out, frames, picture, pixels

NOISE = np.random.default_rng(7).integers(0, 256, (21, 34, 4), dtype=np.uint8)
MARGINS = Extend(top=5, right="50%", bottom=9, left=3)
NUMPY: dict[Mode, Any] = {"copy": "edge", "repeat": "wrap", "mirror": "symmetric"}


def padded(source: NDArray[Any], mode: Any, top: int, right: int, bottom: int, left: int) -> NDArray[Any]:
    return np.pad(source, ((top, bottom), (left, right), (0, 0)), mode=mode)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("mode", list(NUMPY))
@pytest.mark.parametrize("far", [1, 4])
def test_copies_repeats_and_mirrors(mode: Mode, bands: int, far: int) -> None:
    source = NOISE[:, :, :bands]
    operation = Extend(top=5 * far, right=17 * far, bottom=9 * far, left=3 * far, mode=mode)
    expected = padded(source, NUMPY[mode], 5 * far, 17 * far, 9 * far, 3 * far)
    assert np.array_equal(pixels(rasters.png(source), operation), expected)


@pytest.mark.parametrize("background", ["#00000000", "#204060", "#20406080"])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_a_colour_and_pixels_as_they_were(background: str, bands: int) -> None:
    source = NOISE[:, :, :bands]
    operation = Extend(top=5, right="50%", bottom=9, left=3, background=background)
    result = np.asarray(picture(rasters.png(source), operation).convert("RGBA"))
    shown = np.asarray(
        Image.fromarray(source[:, :, 0] if bands == 1 else source, None if bands != 2 else "LA").convert("RGBA")
    )
    assert np.array_equal(result[5:26, 3:37], shown)
    expected = np.broadcast_to(np.array((*bytes.fromhex(background[1:]), 255)[:4], np.uint8), (35, 54, 4)).copy()
    expected[5:26, 3:37] = shown
    assert np.array_equal(result, expected)


@pytest.mark.parametrize(
    ("operation", "left", "top", "size"),
    [
        (Extend(width=50, height=40), 8, 9, (50, 40)),
        (Extend(width=50, gravity="southeast"), 16, 0, (50, 21)),
        (Extend(width=20, height=40, gravity="north"), 0, 0, (34, 40)),
        (Extend(width="200%", height=40, left=3, top=2), 3, 2, (68, 40)),
        (Extend(width=40, height=21, left=30), 6, 0, (40, 21)),
    ],
)
def test_up_to_a_box(operation: Extend, left: int, top: int, size: tuple[int, int]) -> None:
    result = pixels(rasters.png(NOISE), operation)
    assert result.shape == (size[1], size[0], 4)
    assert np.array_equal(result[top : top + 21, left : left + 34], NOISE)
    assert int(result.astype(int).sum()) == int(NOISE.astype(int).sum()), "new space is transparent black"


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_the_mean_colour_by_alpha(bands: int) -> None:
    source = NOISE[:, :, :bands].astype(float)
    colours = source if bands in (1, 3) else source[:, :, :-1]
    weights = np.ones((21, 34)) if bands in (1, 3) else source[:, :, -1]
    mean = [round(float(np.average(colours[:, :, n], weights=weights))) for n in range(colours.shape[2])]
    result = pixels(rasters.png(NOISE[:, :, :bands]), Extend(left=1, background="mean"))
    assert result.shape[2] == bands
    assert np.abs(result[3, 0].astype(int) - (mean if bands in (1, 3) else [*mean, 255])).max() <= 1


def test_the_mean_of_nothing_is_transparent() -> None:
    result = pixels(rasters.png(np.zeros((9, 9, 4), np.uint8)), Extend(left=1, background="mean"))
    assert result[0, 0].tolist() == [0, 0, 0, 0]


def test_a_blurred_picture_behind_a_sharp_one() -> None:
    source = pictures.scene(120, 60)
    result = picture(pictures.encoded(source, "png"), Extend(width=200, height=200, mode="blur"))
    assert pictures.distance(result.crop((40, 70, 160, 130)), source) == 0
    filled = ImageOps.fit(source, (200, 200), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(200 * 3 / 64))
    ring = np.ones((200, 200), bool)
    ring[70:130, 40:160] = False
    difference = np.abs(np.asarray(result).astype(int) - np.asarray(filled))[ring]
    assert difference.mean() < 4
    noisy = pictures.encoded(Image.fromarray(NOISE[:, :, :3]).resize((120, 60), 0), "png")
    rough = np.asarray(picture(noisy, Extend(width=200, height=200, mode="blur"))).astype(int)
    assert np.abs(np.diff(rough[:70], axis=0)).max() < 12, "soft"


def test_a_stretched_picture_behind_a_sharp_one() -> None:
    source = pictures.scene(120, 60)
    result = picture(pictures.encoded(source, "png"), Extend(width=200, height=300, mode="stretch"))
    assert pictures.distance(result.crop((40, 120, 160, 180)), source) == 0
    soft = Image.fromarray(colours.gaussian_to(np.asarray(source).astype(float), 50, 50).round().astype(np.uint8))
    expected = np.asarray(soft.resize((200, 300), Image.Resampling.BICUBIC)).astype(int)
    ring = np.ones((300, 200), bool)
    ring[120:180, 40:160] = False
    assert np.abs(np.asarray(result) - expected)[ring].max() <= 4


def test_a_blur_of_hidden_colours_leaves_no_fringe() -> None:
    source = np.zeros((40, 40, 4), np.uint8)
    source[:, :20] = (200, 100, 50, 255)
    source[:, 20:] = (255, 255, 255, 0)
    result = pixels(rasters.png(source), Extend(top=20, mode="blur"))
    seen = result[:20][result[:20, :, 3] > 40][:, :3].astype(int)
    assert np.abs(seen - (200, 100, 50)).max() <= 6


@pytest.mark.parametrize(
    ("background", "mode"), [("#00000000", "LA"), ("#7f7f7f", "L"), ("#7f7f80", "RGB"), ("mean", "L")]
)
def test_grey_stays_grey_where_the_new_space_allows(background: str, mode: str) -> None:
    data = pictures.encoded(pictures.scene(40, 30, "L"), "png")
    assert picture(data, Extend(left=5, background=background)).mode == mode


def test_sixteen_bits_keep_their_tones_until_the_end() -> None:
    deep = np.random.default_rng(3).integers(0, 65536, (21, 34, 3), dtype=np.uint16)
    result = pixels(rasters.png(deep), Extend(left=4, mode="mirror"))
    assert np.array_equal(result, np.round(padded(deep, "symmetric", 0, 0, 0, 4) / 257).astype(np.uint8))
    coloured = pixels(rasters.png(deep), Extend(left=4, background="#123456"))
    assert coloured[0, 0].tolist() == [0x12, 0x34, 0x56]


@pytest.mark.parametrize("operation", [
    MARGINS, Extend(left=20, mode="mirror"), Extend(width=90, height=90, mode="blur"),
    Extend(width=90, height=90, mode="stretch"),
    Extend(top=9, background="#ff0000"),
])  # fmt: skip
@pytest.mark.parametrize("name", ["gif", "webp"])
def test_each_frame_is_what_a_still_is(operation: Extend, name: Format) -> None:
    shots = [pictures.scene(60, 40).transpose(Image.Transpose(n)) for n in range(2)]
    film = pictures.film(shots, name, [40, 50])
    result = frames(carried_out(film, Flip(), operation, output_format="webp"))
    assert len(result) == 2
    for shown, moving in zip(frames(film), result, strict=True):
        still = picture(pictures.encoded(shown, "png"), Flip(), operation).convert("RGBA")
        assert np.abs(np.asarray(moving).astype(int) - np.asarray(still)).mean() < 5  # WebP loses some


def test_the_mean_of_a_film_is_that_of_its_first_frame() -> None:
    shots = [Image.new("RGB", (20, 20), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    film = pictures.film(shots, "gif", [40, 40])
    result = frames(carried_out(film, Extend(left=20, background="mean"), output_format="gif"))
    assert [np.asarray(frame)[5, 5].tolist() for frame in result] == [[255, 0, 0, 255]] * 2
    assert [np.asarray(frame)[5, 25].tolist() for frame in result] == [[255, 0, 0, 255], [0, 0, 255, 255]]
