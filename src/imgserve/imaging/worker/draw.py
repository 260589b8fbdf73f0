"""Placeholders and failure pictures: one flat colour, and a line of text if there is room to read it.

Called by ``__main__.py`` for a DrawRequest. The text is set in the font of this package, so that it looks the same
on a machine without any fonts. Its colour is dark or light, whichever stands out (WCAG relative luminance).
"""

import html
from functools import lru_cache
from pathlib import Path

import pyvips

from imgserve.imaging.faults import RenderFailed
from imgserve.imaging.messages import Drawing, Written
from imgserve.imaging.worker import bounds, save, vips
from imgserve.imaging.worker.colour import curves
from imgserve.imaging.worker.colour.convert import parse_hex
from imgserve.imaging.worker.saver.settings import Settings
from imgserve.request.encode import DEFAULT_QUALITY, Format
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits

_FONT_FILE = str(Path(__file__).parents[2] / "fonts" / "NotoSans-Regular.ttf")
_FONT = "Noto Sans"
_POINTS = 12  # near the usual result, so that libvips fits the text in few attempts
_SMALLEST_LETTER_PX = 7
_LARGEST_TEXT = Size(1200, 160)
_TEXT_WIDTH, _TEXT_HEIGHT = 0.8, 0.4  # of the picture's
_DARK, _LIGHT = [32, 32, 32], [255, 255, 255]
_LUMINANCE_OF_MIDDLE = 0.18
# A flat picture does not shrink with more effort.
_SETTINGS: dict[Format, Settings] = {
    "jpeg": {},
    "png": {"compression": 1},
    "webp": {"effort": 0},
    "gif": {"effort": 1, "dither": 0, "bitdepth": 4},
    "tiff": {"compression": "lzw"},
    "avif": {"compression": "av1", "effort": 0, "bitdepth": 8},
}


def draw(drawing: Drawing, limits: Limits, result_fd: int) -> Written:
    """Write the drawing to ``result_fd``, exactly its size. Raises PictureTooLarge, RenderFailed."""
    size = drawing.size
    bounds.check_output(size, limits)
    save.check_side(size, drawing.format)
    try:
        picture = _picture(size, parse_hex(drawing.color), _lettering(drawing.text, size))
        quality = drawing.quality or DEFAULT_QUALITY.get(drawing.format)
        quality = quality if drawing.format in DEFAULT_QUALITY else None
        save.save(
            picture, drawing.format, _SETTINGS[drawing.format], quality, pyvips.Target.new_to_descriptor(result_fd)
        )
    except pyvips.Error as error:
        raise RenderFailed(f"the placeholder cannot be drawn: {vips.reason(error)}") from error
    return Written(size, drawing.format)


def _picture(size: Size, ground: list[int], mask: pyvips.Image | None) -> pyvips.Image:
    ink, interpretation = _ink(ground), "srgb"
    if ground[0] == ground[1] == ground[2]:  # one band is a third of the work
        ground, ink, interpretation = ground[:1], ink[:1], "b-w"
    patch = (pyvips.Image.black(1, 1) + ground).cast("uchar").copy(interpretation=interpretation)
    if mask is None:
        return patch.embed(0, 0, size.width_px, size.height_px, extend="copy")
    text = mask.ifthenelse(ink, ground, blend=True).cast("uchar").copy(interpretation=interpretation).copy_memory()
    left, top = (size.width_px - text.width) // 2, (size.height_px - text.height) // 2
    return text.embed(left, top, size.width_px, size.height_px, extend="background", background=ground)


def _lettering(text: str, size: Size) -> pyvips.Image | None:
    """The text as a mask that fits the size; None if it could not be read."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    width = min(int(size.width_px * _TEXT_WIDTH), _LARGEST_TEXT.width_px)
    height = min(int(size.height_px * _TEXT_HEIGHT), _LARGEST_TEXT.height_px)
    return _fitted(text, width, height) if text and min(width, height) >= _SMALLEST_LETTER_PX else None


@lru_cache(maxsize=32)  # fitting takes 10 ms, and most placeholders of a server have the same text and few sizes
def _fitted(text: str, width: int, height: int) -> pyvips.Image | None:
    mask, found = pyvips.Image.text(
        html.escape(text, quote=False),
        font=f"{_FONT} {_POINTS}",
        fontfile=_FONT_FILE,
        width=width,
        height=height,
        align="centre",
        autofit_dpi=True,
    )
    letter_px = _POINTS * found["autofit_dpi"] / 72
    is_fitting = mask.width <= width and mask.height <= height
    return mask.copy_memory() if is_fitting and letter_px >= _SMALLEST_LETTER_PX else None


def _ink(ground: list[int]) -> list[int]:
    red, green, blue = (curves.srgb(value / 255) for value in ground)
    return _DARK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > _LUMINANCE_OF_MIDDLE else _LIGHT
