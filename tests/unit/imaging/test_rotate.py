"""rotate: quarter turns by numpy, other angles by Pillow."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imgserve.request.encode import Format
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.rotate import Rotate
from tests.support import pictures, rasters
from tests.unit.imaging.conftest import carried_out, frames, picture, pixels

NOISE = np.random.default_rng(5).integers(0, 256, (21, 34, 4), dtype=np.uint8)


def by_pillow(image: Image.Image, angle: float, background: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Image.Image:
    """RGBA. Each pixel of the result looks back, about the middle, at the source on a large sheet of background."""
    wide, high = image.size
    a, b = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    size = round(abs(wide * a) + abs(high * b)), round(abs(wide * b) + abs(high * a))
    around = 3
    sheet = Image.new("RGBA", (wide + 2 * around, high + 2 * around), background)
    sheet.paste(image.convert("RGBA"), (around, around))
    x, y = size[0] / 2, size[1] / 2
    back = (a, b, sheet.width / 2 - a * x - b * y, -b, a, sheet.height / 2 + b * x - a * y)
    fill = (*(round(level * background[3] / 255) for level in background[:3]), background[3])
    turned = sheet.convert("RGBa").transform(
        size, Image.Transform.AFFINE, back, Image.Resampling.BICUBIC, fillcolor=fill
    )
    return turned.convert("RGBA")


def premultiplied(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image.convert("RGBa")).astype(float)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("angle", [-450 + 90 * n for n in range(1, 9)])
def test_quarter_turns_move_pixels_and_change_none(angle: int, bands: int) -> None:
    source = NOISE[:, :, :bands]
    result = pixels(rasters.png(source), Rotate(angle))
    assert np.array_equal(result, np.rot90(source, -angle // 90))


@pytest.mark.parametrize("angle", [0.5, 30, -30, 45, 89.5, 123.4, 200, 300, -359])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_any_angle(angle: float, mode: str) -> None:
    source = pictures.scene(101, 64, mode)
    result = picture(pictures.encoded(source, "png"), Rotate(angle))
    expected = by_pillow(source, angle)
    assert result.size == expected.size
    assert np.abs(premultiplied(result) - premultiplied(expected)).mean() < 1


@pytest.mark.parametrize("background", ["#204080", "#20408080"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_the_corners_have_the_background(background: str, mode: str) -> None:
    source = pictures.scene(101, 64, "RGBA").convert(mode)
    result = picture(pictures.encoded(source, "png"), Rotate(20, background))
    ink = (*bytes.fromhex(background[1:]), 255)[:4]
    assert result.convert("RGBA").getpixel((1, 1)) == ink
    assert result.mode == ("RGB" if len(background) == 7 and mode != "RGBA" else "RGBA")
    expected = by_pillow(source.convert("RGBA"), 20, ink)
    assert np.abs(premultiplied(result) - premultiplied(expected)).mean() < 1


@pytest.mark.parametrize(("background", "mode"), [("#00000000", "LA"), ("#7f7f7f", "L"), ("#7f7f80", "RGB")])
def test_grey_stays_grey_where_the_new_space_allows(background: str, mode: str) -> None:
    assert picture(pictures.encoded(pictures.scene(40, 30, "L"), "png"), Rotate(20, background)).mode == mode


def test_no_fringe_of_hidden_colours() -> None:
    source = np.zeros((40, 40, 4), np.uint8)
    source[:, :20] = (200, 100, 50, 255)
    source[:, 20:] = (255, 255, 255, 0)
    result = pixels(rasters.png(source), Rotate(33))
    seen = result[result[:, :, 3] > 40][:, :3].astype(int)
    assert np.abs(seen - (200, 100, 50)).max() <= 6


def test_sixteen_bits_keep_their_tones_until_the_end() -> None:
    deep = np.random.default_rng(3).integers(0, 65536, (21, 34, 3), dtype=np.uint16)
    assert np.array_equal(pixels(rasters.png(deep), Rotate(90)), np.round(np.rot90(deep, -1) / 257).astype(np.uint8))
    flat = pixels(rasters.png(np.full((30, 30, 3), 0x1234, np.uint16)), Rotate(45, "#123456"))
    assert flat[21, 21].tolist() == [0x12] * 3
    assert flat[0, 0].tolist() == [0x12, 0x34, 0x56]


@pytest.mark.parametrize("angle", [90, 30])
@pytest.mark.parametrize("name", ["gif", "webp"])
def test_each_frame_is_what_a_still_is(angle: float, name: Format) -> None:
    shots = [pictures.scene(60, 40).transpose(Image.Transpose(n)) for n in range(2)]
    film = pictures.film(shots, name, [40, 50])
    result = frames(carried_out(film, Flip(), Rotate(angle), output_format="webp"))
    assert len(result) == 2
    for shown, moving in zip(frames(film), result, strict=True):
        still = picture(pictures.encoded(shown, "png"), Flip(), Rotate(angle)).convert("RGBA")
        assert np.abs(premultiplied(moving) - premultiplied(still)).mean() < 5  # WebP loses some


def test_a_whole_circle_in_small_steps_stays_in_place() -> None:
    source = pictures.scene(81, 81)
    result = picture(pictures.encoded(source, "png"), *[Rotate(45)] * 8)
    x, y = (side // 2 for side in result.size)
    middle = result.crop((x - 10, y - 10, x + 11, y + 11)).convert("RGB")
    assert pictures.distance(middle, source.crop((30, 30, 51, 51))) < 2
