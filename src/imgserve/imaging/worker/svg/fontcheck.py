"""Warnings about fonts that an SVG asks for and that are not installed. Called by pipeline, behind the drawing.

The libraries' own functions for fonts are not to be called in the wheel, so librsvg is asked, by measuring: a text that
is as large in "Asked, serif" as in serif, and as large in "Asked, monospace" as in monospace, is drawn in neither case
in the font asked for. So fontconfig's rules decide, also those by which one font stands for another.
"""

from functools import lru_cache
from html import escape

import pyvips

from imgserve.imaging.faults import SvgInvalid
from imgserve.imaging.worker.svg import families, stylesheet
from imgserve.imaging.worker.svg.families import Families
from imgserve.imaging.worker.svg.markup import find_root
from imgserve.request.imageinfo import Size
from imgserve.request.warning import MOST_DETAIL, OutputWarning

_TEXT = '<svg xmlns="http://www.w3.org/2000/svg"><text y="900" font-size="1000" font-family="%s">%s</text></svg>'
_LETTERS = "AaMi1g"
_OTHERS = ("serif", "monospace")
_NARROW, _WIDE = "iiii", "MMMM"  # of one width in the boxes that are drawn without any font
_SHOWN = 300


def warnings(data: bytes, size: Size | None) -> tuple[OutputWarning, ...]:
    """One for each list of families of which none is installed. ``data`` is an SVG that has been drawn."""
    root = find_root(data)
    if root is None or b"text" not in root.data or b"font" not in root.data:
        return ()
    try:
        asked = families.asked(stylesheet.for_screen(root, size))
        return tuple(_warning(names) for names, letters in asked.items() if _is_missing(names, letters))
    except (pyvips.Error, SvgInvalid):  # the drawing itself was good
        return ()


def _warning(names: Families) -> OutputWarning:
    shown = ", ".join(f'"{name}"' for name in names)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} ..."
    what = f"the font {shown} is not installed" if len(names) == 1 else f"none of the fonts {shown} is installed"
    detail = f"{what}, so text of the SVG is drawn in another; install it, or name its directory in font_dirs"
    return OutputWarning("font_missing", detail[:MOST_DETAIL])


@lru_cache(maxsize=256)
def _is_missing(names: Families, letters: str) -> bool:
    """``letters`` beyond ASCII are for fonts that have no others, such as those of icons."""
    if not _can_tell():
        return False
    asked = ", ".join(f'"{name}"' if "'" in name else f"'{name}'" for name in names)
    return not any(
        _measured(f"{asked}, {other}", sample) != _measured(other, sample)
        for sample in (_LETTERS, letters)
        if sample
        for other in _OTHERS
    )


@lru_cache(maxsize=1)
def _can_tell() -> bool:
    """False where one font stands for all. Without any font all are missing."""
    serif, monospace = (_measured(other, _LETTERS) for other in _OTHERS)
    return serif != monospace or _measured(_OTHERS[0], _NARROW) == _measured(_OTHERS[0], _WIDE)


def _measured(family: str, text: str) -> tuple[int, int]:
    """Width and height of the ink; nothing is drawn."""
    image = pyvips.Image.svgload_buffer((_TEXT % (escape(family), escape(text))).encode())
    return image.width, image.height
