"""imagor's filters that draw another picture on this one (``vipsprocessor/overlay.go``).

Of the nested URL of ``image`` only a size with ``fit-in`` is offered: any other rendition of a further picture would
have to be made first.
"""

import re
from base64 import b64decode
from typing import Annotated, ClassVar
from urllib.parse import unquote

from imgserve.request.dialects.thumbor.arguments import DECIMAL, TEXT, Kind, whole
from imgserve.request.dialects.thumbor.stage import Filter, Stage
from imgserve.request.dialects.thumbor.watermark import tile
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import MAX_SIDE_PX, MAX_SOURCE_SIDE_PX
from imgserve.request.operations.composite import Blend, Composite

PLACE = Kind(
    re.compile(
        r"-?\d++p?|-?0?\.\d++|repeat|center|(?:left|right|top|bottom|[lrtb])(?:-\d++)?",
        re.ASCII,
    ),
    str,
)
RATIO = Kind(re.compile(r"\d++|none", re.ASCII), lambda text: text if text == "none" else str(min(whole(text), 1_000)))
BLEND = Kind(re.compile("normal|multiply|screen|overlay|darken|lighten"), str)

BASE64 = "b64:"
_ENDS = ("right", "r", "bottom", "b")
_SIZED = re.compile(r"(full|f)?(\d++|-\d++)?x(full|f)?(\d++|-\d++)?", re.ASCII)


class Watermark(Filter, frozen=True):
    word: ClassVar[str] = "watermark"

    url: Annotated[str, TEXT]
    x: Annotated[str, PLACE] = "0"
    y: Annotated[str, PLACE] = "0"
    alpha: Annotated[float, DECIMAL] = 0.0
    width_ratio: Annotated[str, RATIO] = ""
    height_ratio: Annotated[str, RATIO] = ""

    def applied(self, stage: Stage) -> Stage:
        width = height = None
        if self.height_ratio:
            width = _share(self.width_ratio, stage.size.width_px)
            height = _share(self.height_ratio, stage.size.height_px)
        return _drawn(stage, decoded(self.url), self.x, self.y, self.alpha, "over", width, height)


class Image(Filter, frozen=True):
    """``path``: a source, or ``fit-in/WIDTHxHEIGHT/`` and one; ``full`` or ``f``, less a number, is this picture's."""

    word: ClassVar[str] = "image"

    path: Annotated[str, TEXT]
    x: Annotated[str, PLACE] = "0"
    y: Annotated[str, PLACE] = "0"
    alpha: Annotated[float, DECIMAL] = 0.0
    blend: Annotated[str, BLEND] = "normal"

    def applied(self, stage: Stage) -> Stage:
        source, width, height = self.path.lstrip("/"), None, None
        words = source.split("/", 2)
        size = _SIZED.fullmatch(words[1]) if words[0] == "fit-in" and len(words) > 2 else None
        if size is not None:
            source = words[2]
            width = _full(size[1], size[2], stage.size.width_px)
            height = _full(size[3], size[4], stage.size.height_px)
        return _drawn(stage, decoded(source), self.x, self.y, self.alpha, _blend(self.blend), width, height)


def decoded(source: str) -> str:
    """``b64:`` begins a name in base64url, without padding; one that is none is a name as it is."""
    if not source.startswith(BASE64):
        return source
    digits = source.removeprefix(BASE64).rstrip("=")
    try:
        decoded = b64decode(digits + "=" * (-len(digits) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        return source
    return unquote(decoded)


def _drawn(
    stage: Stage, url: str, x: str, y: str, alpha: float, blend: Blend, width: int | None, height: int | None
) -> Stage:
    opacity = 1 - min(max(alpha, 0.0), 100.0) / 100
    if opacity <= 0:
        return stage
    left, right = _edges(x, stage.size.width_px)
    top, bottom = _edges(y, stage.size.height_px)
    composite = Composite(
        ImageRef(url=url),
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        width=width,
        height=height,
        opacity=opacity,
        blend=blend,
        tile=tile(is_across=x == "repeat", is_down=y == "repeat"),
    )
    return stage.then(composite)


def _edges(place: str, side_px: int) -> tuple[int | None, int | None]:
    """The distance from the left (or the top), or that from the opposite edge. Neither: the middle."""
    if place == "center":
        return None, None
    if place == "repeat":
        return 0, None
    word, _, hanging = place.partition("-")
    if word.isalpha():
        offset = -min(whole(hanging or "0"), MAX_SOURCE_SIDE_PX)
        return (None, offset) if word in _ENDS else (offset, None)
    digits = place.removeprefix("-")
    if "." in digits:
        distance = int(float(digits) * side_px)
    elif digits.endswith("p"):
        distance = whole(digits.removesuffix("p")) * side_px // 100
    else:
        distance = whole(digits)
    distance = min(distance, MAX_SOURCE_SIDE_PX)
    return (None, distance) if place.startswith("-") and distance else (distance, None)


def _share(ratio: str, side_px: int) -> int | None:
    """Of ``none`` the whole side."""
    if ratio in ("none", ""):
        return side_px
    return min(side_px * int(ratio) // 100, MAX_SIDE_PX) or None


def _full(word: str | None, number: str | None, side_px: int) -> int | None:
    side = whole(number or "0")
    return min(max(side_px + side if word else side, 0), MAX_SIDE_PX) or None


def _blend(word: str) -> Blend:
    match word:
        case "multiply" | "screen" | "overlay" | "darken" | "lighten":
            return word
    return "over"
