"""imagor's filters that change the picture's size, or what is around and behind it (``vipsprocessor/filter.go``)."""

import re
from typing import Annotated, ClassVar

from msgspec.structs import replace

from imgserve.request.dialects.thumbor import colornames
from imgserve.request.dialects.thumbor.arguments import DECIMAL, NUMBER, POSITIVE, Kind
from imgserve.request.dialects.thumbor.canvas import turned
from imgserve.request.dialects.thumbor.stage import Filter, Stage
from imgserve.request.imageinfo import Size
from imgserve.request.limits import MAX_SIDE_PX
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.round import Round
from imgserve.request.operations.trim import Trim

COLOR = Kind(re.compile(r"#?\w++", re.ASCII), lambda text: text.removeprefix("#").lower())
CORNER = Kind(re.compile("top-left|bottom-right"), str)

_CLEAR = ("none", "transparent")
_OPAQUE = 7  # characters of #rrggbb
_QUARTER = 90


class Fill(Filter, frozen=True):
    word: ClassVar[str] = "fill"

    color: Annotated[str, COLOR] = ""

    @property
    def needs_whole(self) -> bool:
        return self.color == "auto"

    def applied(self, stage: Stage) -> Stage:
        return _filled(stage, self.color, stage.target, stage.padding)


class Padded(Filter, frozen=True):
    """``top`` missing: as ``left``; ``right`` and ``bottom`` missing: as the opposite ones."""

    word: ClassVar[str] = "padding"

    color: Annotated[str, COLOR]
    left: Annotated[int, POSITIVE]
    top: Annotated[int, NUMBER] = -1
    right: Annotated[int, NUMBER] = -1
    bottom: Annotated[int, NUMBER] = -1

    def applied(self, stage: Stage) -> Stage:
        top = self.left if self.top < 0 else self.top
        right, bottom = (self.left, top) if self.bottom < 0 else (max(self.right, 0), self.bottom)
        margins = tuple(min(margin, MAX_SIDE_PX) for margin in (self.left, top, right, bottom))
        return _filled(stage, self.color, stage.size, (margins[0], margins[1], margins[2], margins[3]))


class BackgroundColor(Filter, frozen=True):
    word: ClassVar[str] = "background_color"

    color: Annotated[str, COLOR]

    @property
    def needs_whole(self) -> bool:
        return self.color == "auto"

    def applied(self, stage: Stage) -> Stage:
        if not stage.has_alpha or self.color in _CLEAR:
            return stage
        return stage.then(Flatten(_color(self.color)), has_alpha=False)


class RoundCorner(Filter, frozen=True):
    """Without a colour the corners are transparent."""

    word: ClassVar[str] = "round_corner"

    across: Annotated[int, POSITIVE]
    down: Annotated[int, NUMBER] = -1
    color: Annotated[str, COLOR] = ""

    def applied(self, stage: Stage) -> Stage:
        down = self.across if self.down < 0 else self.down
        across, down = min(self.across, stage.size.width_px // 2), min(down, stage.size.height_px // 2)
        if not across or not down:
            return stage
        rounded = stage.then(Round(rx=across, ry=down), has_alpha=True)
        return rounded.then(Flatten(_color(self.color)), has_alpha=False) if self.color else rounded


class Turn(Filter, frozen=True):
    """Counter-clockwise. A ``fill`` after it swaps the sides of the box too."""

    word: ClassVar[str] = "rotate"

    degrees: Annotated[int, NUMBER]

    @property
    def needs_whole(self) -> bool:
        return True

    def applied(self, stage: Stage) -> Stage:
        if self.degrees not in (_QUARTER, 2 * _QUARTER, 3 * _QUARTER):
            return stage
        stage = turned(stage, self.degrees)
        if self.degrees == 2 * _QUARTER:
            return stage
        left, top, right, bottom = stage.padding
        return replace(stage, box=(stage.box[1], stage.box[0]), padding=(top, left, bottom, right))


class Proportion(Filter, frozen=True):
    """A number above 1 is per cent."""

    word: ClassVar[str] = "proportion"

    share: Annotated[float, DECIMAL]

    def applied(self, stage: Stage) -> Stage:
        share = min(self.share, 100.0)
        share = share / 100 if share > 1 else share
        width, height = int(stage.size.width_px * share), int(stage.size.height_px * share)
        return stage.resized(width, height) if width > 0 and height > 0 else stage


class Cropped(Filter, frozen=True):
    """After the resize. Numbers below 1 are shares of a side."""

    word: ClassVar[str] = "crop"

    left: Annotated[float, DECIMAL]
    top: Annotated[float, DECIMAL]
    width: Annotated[float, DECIMAL]
    height: Annotated[float, DECIMAL]

    def applied(self, stage: Stage) -> Stage:
        left, width = _span(self.left, self.width, stage.size.width_px)
        top, height = _span(self.top, self.height, stage.size.height_px)
        return stage.cropped(left, top, width, height) if width > 0 and height > 0 else stage


class Trimmed(Filter, frozen=True):
    """The size counts as it was, since only pixels tell the new one."""

    word: ClassVar[str] = "trim"

    tolerance: Annotated[int, POSITIVE] = 1
    corner: Annotated[str, CORNER] = "top-left"

    @property
    def needs_whole(self) -> bool:
        return True

    def applied(self, stage: Stage) -> Stage:
        if stage.is_animated:
            return stage
        threshold = float(min(max(self.tolerance, 1), 255))
        return stage.then(trim(threshold, self.corner))


def trim(threshold: float, corner: str) -> Trim:
    """As libvips finds it, on imagor's magenta."""
    return Trim(
        threshold,
        corner="top_left" if corner == "top-left" else "bottom_right",
        matte="#ff00ff",
        median=True,
    )


def _span(begin: float, length: float, side_px: int) -> tuple[int, int]:
    """Where the part begins, and its length within the side, which may be 0."""
    begin = min(max(begin * side_px if begin < 1 else begin, 0.0), float(side_px))
    length = min(length * side_px if length < 1 else length, side_px - begin)
    return int(begin), int(length)


def _filled(stage: Stage, color: str, size: Size, padding: tuple[int, int, int, int]) -> Stage:
    """The picture in the middle of ``size``, which grows by the padding."""
    left, top, right, bottom = padding
    whole = Size(size.width_px + left + right, size.height_px + top + bottom)
    left += int((size.width_px - stage.size.width_px) / 2)
    top += int((size.height_px - stage.size.height_px) / 2)
    if color in _CLEAR:
        return stage.placed(left, top, whole, Extend()).then(has_alpha=True)
    if color == "blur" and not stage.is_animated:
        return stage.placed(left, top, whole, Extend(mode="blur"))
    if color == "auto":
        return stage.placed(left, top, whole, Extend(background="mean"))
    background = _color(color)
    stage = stage.then(Flatten(background), has_alpha=False) if stage.has_alpha else stage
    return stage.placed(left, top, whole, Extend(background=background))


def _color(word: str) -> str:
    """Without transparency; black for a word that is no colour."""
    return (colornames.read(word) or "#000000")[:_OPAQUE]
