"""thumbor's filter that draws another picture on this one. Its source goes through the mount's guard, as every one."""

import re
from typing import Annotated, ClassVar

import msgspec

from imgserve.request.dialects.thumbor.arguments import POSITIVE, STRING, Kind, whole
from imgserve.request.dialects.thumbor.stage import Filter, Stage
from imgserve.request.geometry import EVEN
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import MAX_SIDE_PX, MAX_SOURCE_SIDE_PX
from imgserve.request.operations.composite import Composite, Tile

_MOST_RATIO = 1_000  # per cent
_MOST_ALPHA = 100


class Position(msgspec.Struct, frozen=True):
    """Along one axis. ``is_from_end``: measured from the right or the bottom, to the picture's own edge there."""

    offset: int = 0
    is_per_cent: bool = False
    is_from_end: bool = False
    is_center: bool = False
    is_repeated: bool = False

    def pixels(self, side_px: int) -> int:
        """Half up, as thumbor's round of a little more."""
        offset = round(side_px * float(self.offset) / 100 + 1e-5) if self.is_per_cent else self.offset
        return min(offset, MAX_SOURCE_SIDE_PX)


def _position(text: str) -> Position:
    if text == "center":
        return Position(is_center=True)
    if text == "repeat":
        return Position(is_repeated=True)
    is_per_cent = text.endswith("p")
    digits = text.removesuffix("p").removeprefix("-")
    return Position(whole(digits), is_per_cent, text.startswith("-"))


def _position_text(position: Position) -> str:
    if position.is_center:
        return "center"
    if position.is_repeated:
        return "repeat"
    return f"{'-' * position.is_from_end}{position.offset}{'p' * position.is_per_cent}"


def _ratio(text: str) -> int:
    return 0 if text == "none" else min(max(whole(text), 0), _MOST_RATIO)


POSITION = Kind(re.compile(r"-?\d++p?|center|repeat", re.ASCII), _position, _position_text)
RATIO = Kind(re.compile(r"-?\d++|none", re.ASCII), _ratio, lambda ratio: str(ratio) if ratio else "none")
ALPHA = Kind(POSITIVE.pattern, lambda text: min(whole(text), _MOST_ALPHA))


class Watermark(Filter, frozen=True):
    """``alpha``: 0 opaque, 100 invisible. The ratios are per cent of the picture's sides, 0: its own size."""

    word: ClassVar[str] = "watermark"

    url: Annotated[str, STRING]
    x: Annotated[Position, POSITION]
    y: Annotated[Position, POSITION]
    alpha: Annotated[int, ALPHA]
    width_ratio: Annotated[int, RATIO] = 0
    height_ratio: Annotated[int, RATIO] = 0

    def applied(self, stage: Stage) -> Stage:
        if self.alpha >= _MOST_ALPHA:
            return stage
        return stage.then(
            Composite(
                ImageRef(url=self.url),
                left=_distance(self.x, stage.size.width_px, is_from_end=False),
                right=_distance(self.x, stage.size.width_px, is_from_end=True),
                top=_distance(self.y, stage.size.height_px, is_from_end=False),
                bottom=_distance(self.y, stage.size.height_px, is_from_end=True),
                width=_box(self.width_ratio, stage.size.width_px),
                height=_box(self.height_ratio, stage.size.height_px),
                fade=(255 * self.alpha // 100) / 255,
                tile=tile(is_across=self.x.is_repeated, is_down=self.y.is_repeated),
                spacing_x=EVEN if self.x.is_repeated else None,
                spacing_y=EVEN if self.y.is_repeated else None,
            )
        )


def tile(*, is_across: bool, is_down: bool) -> Tile:
    if is_across:
        return True if is_down else "x"
    return "y" if is_down else False


def _distance(position: Position, side_px: int, *, is_from_end: bool) -> int | None:
    """From that edge; None where it is measured from the other one, or lies in the middle."""
    if position.is_center or position.is_from_end is not is_from_end:
        return None
    return position.pixels(side_px)


def _box(ratio: int, side_px: int) -> int | None:
    return min(max(1, round(side_px * (ratio / 100.0))), MAX_SIDE_PX) if ratio else None
