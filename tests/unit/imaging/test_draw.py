"""Placeholders: exact size, the colour that was asked for, text that can be read and cannot be abused."""

from typing import get_args

import numpy as np
import pytest
from PIL import Image

from imgserve.blob import Blob
from imgserve.imaging.faults import PictureTooLarge
from imgserve.imaging.messages import Drawing
from imgserve.imaging.worker import draw
from imgserve.request.encode import Format
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from tests.support import pictures
from tests.unit.imaging.conftest import opened

FORMATS: tuple[Format, ...] = get_args(Format)


def drawn(size: tuple[int, int], text: str, color: str = "#8c8c8c", output_format: Format = "png") -> Image.Image:
    with Blob() as result:
        draw.draw(Drawing(Size(*size), output_format, color, text), Limits(), result.fd)
        with open(f"/proc/self/fd/{result.fd}", "rb") as file:
            return opened(file.read())


def ink(image: Image.Image, color: tuple[int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    away: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (
        np.abs(np.asarray(image.convert("RGB")).astype(int) - color).max(axis=2) > 40
    )
    return away


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2), (200, 120), (1021, 33)])
def test_every_format_and_size_exactly(output: Format, size: tuple[int, int]) -> None:
    for text in ("", "Image being processed"):
        image = drawn(size, text, "#c03060", output)
        assert (image.size, image.format) == (size, pictures.PILLOW_NAME[output])
        red, green, blue = np.asarray(image.convert("RGB"))[0, 0].astype(int)
        assert max(abs(red - 0xC0), abs(green - 0x30), abs(blue - 0x60)) < 12


def test_the_text_is_in_the_middle_and_fills_its_share() -> None:
    mask = ink(drawn((400, 300), "Image being processed"), (140, 140, 140))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert abs((columns[0] + columns[-1]) / 2 - 200) < 6
    assert abs((rows[0] + rows[-1]) / 2 - 150) < 10
    assert 200 < columns[-1] - columns[0] <= 320


@pytest.mark.parametrize("size", [(20, 10), (400, 12), (12, 400), (60, 20)])
def test_no_text_where_it_could_not_be_read(size: tuple[int, int]) -> None:
    assert not ink(drawn(size, "Image being processed, please wait"), (140, 140, 140)).any()


@pytest.mark.parametrize(
    ("color", "is_light"), [("#000000", True), ("#ffffff", False), ("#203080", True), ("#ffe000", False)]
)
def test_the_text_stands_out(color: str, is_light: bool) -> None:
    with_text, without = drawn((300, 200), "Wait", color), drawn((300, 200), "", color)
    change = np.asarray(with_text.convert("L")).astype(int) - np.asarray(without.convert("L"))
    assert bool(change.max() > 100) is is_light
    assert bool(change.min() < -100) is not is_light


@pytest.mark.parametrize(
    "text", ["<b>bold</b>", "a & b < c > d", "</span><span size='9999'>x", "&#0;", "\0\x07\u202e", "\ud7ff"]
)
def test_text_is_never_markup(text: str) -> None:
    assert drawn((300, 100), text).size == (300, 100)


def test_markup_is_shown_as_it_was_written() -> None:
    shown = ink(drawn((400, 100), "<i>i</i>"), (140, 140, 140)).sum()
    plain = ink(drawn((400, 100), "i"), (140, 140, 140)).sum()
    assert abs(int(shown) - int(plain)) > 100


def test_what_the_format_cannot_hold_is_refused() -> None:
    with pytest.raises(PictureTooLarge, match="16383"):
        drawn((16_384, 4), "", output_format="webp")
    with pytest.raises(PictureTooLarge, match="output_side_px"):
        drawn((16_385, 4), "")
