"""thumbor's filters that change the picture's size, or what is behind it."""

import re
from typing import Annotated, ClassVar

import msgspec
from msgspec.structs import replace

from imgserve.request.dialects.thumbor import colornames
from imgserve.request.dialects.thumbor.arguments import BOOLEAN, DECIMAL, NUMBER, POSITIVE, WORD, Kind, whole
from imgserve.request.dialects.thumbor.stage import Filter, Stage
from imgserve.request.imageinfo import Size
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.round import Round

_OPAQUE = 7  # characters of #rrggbb
_QUARTER, _WHOLE_TURN = 90, 360


class Radii(msgspec.Struct, frozen=True):
    across: int
    down: int


def _radii(text: str) -> Radii:
    across, _, down = text.partition("|")
    return Radii(whole(across), whole(down or across))


def _radii_text(radii: Radii) -> str:
    return str(radii.across) if radii.across == radii.down else f"{radii.across}|{radii.down}"


def _level(text: str) -> int | None:
    level = whole(text)
    return level if level <= 255 else None


RADII = Kind(re.compile(r"\d++(?:\|\d++)?", re.ASCII), _radii, _radii_text)
LEVEL = Kind(POSITIVE.pattern, _level)


class Fill(Filter, frozen=True):
    """The picture in the middle of the request's box. ``is_beneath``: the colour also shows through the picture."""

    word: ClassVar[str] = "fill"

    color: Annotated[str, WORD]
    is_beneath: Annotated[bool, BOOLEAN] = False

    def applied(self, stage: Stage) -> Stage:
        space = self._space()
        if space is None:
            return stage
        size, own = stage.target, stage.size
        left, top = (size.width_px - own.width_px) // 2, (size.height_px - own.height_px) // 2
        placed = stage.placed(left, top, size, space)
        is_clear = space.mode == "color" and len(space.background) > _OPAQUE
        grown = placed.then(has_alpha=stage.has_alpha or (is_clear and size != own))
        if self.is_beneath and grown.has_alpha and space.mode == "color" and space.background.startswith("#"):
            return _on(space.background, grown)
        return grown

    def _space(self) -> Extend | None:
        """None: thumbor cannot read the colour either."""
        if self.color == "blur":
            return Extend(mode="stretch")
        background = "mean" if self.color == "auto" else colornames.read(self.color)
        return None if background is None else Extend(background=background)


class BackgroundColor(Filter, frozen=True):
    word: ClassVar[str] = "background_color"

    color: Annotated[str, WORD]

    def applied(self, stage: Stage) -> Stage:
        background = colornames.read(self.color)
        return stage if background is None or not stage.has_alpha else _on(background, stage)


class RoundCorner(Filter, frozen=True):
    word: ClassVar[str] = "round_corner"

    radii: Annotated[Radii, RADII]
    red: Annotated[int, LEVEL]
    green: Annotated[int, LEVEL]
    blue: Annotated[int, LEVEL]
    is_transparent: Annotated[bool, BOOLEAN] = False

    def applied(self, stage: Stage) -> Stage:
        across = min(self.radii.across, stage.size.width_px // 2)
        down = min(self.radii.down, stage.size.height_px // 2)
        if not across or not down:
            return stage
        color = f"#{self.red:02x}{self.green:02x}{self.blue:02x}"
        if not self.is_transparent:
            return stage.then(Round(rx=across, ry=down, background=color))
        rounded = stage.then(Round(rx=across, ry=down), has_alpha=True)
        # Without an alpha channel the colour shows, which thumbor gives the corners too.
        return rounded if stage.has_alpha else replace(rounded, matte=color)


class Turn(Filter, frozen=True):
    """Counter-clockwise, by multiples of 90 degrees; other angles are ignored."""

    word: ClassVar[str] = "rotate"

    degrees: Annotated[int, NUMBER]

    def applied(self, stage: Stage) -> Stage:
        return turned(stage, self.degrees)


class Proportion(Filter, frozen=True):
    word: ClassVar[str] = "proportion"

    share: Annotated[float, DECIMAL]

    def applied(self, stage: Stage) -> Stage:
        width, height = stage.size.width_px * self.share, stage.size.height_px * self.share
        if not 0 < self.share <= 1 or width < 1 or height < 1:
            return stage
        return stage.resized(int(width), int(height))


class Upscale(Filter, frozen=True):
    """Enlarges a picture that is smaller than the request's box on both sides until it touches it."""

    word: ClassVar[str] = "upscale"

    def applied(self, stage: Stage) -> Stage:
        (wide, high), own = stage.box, stage.size
        if own.width_px >= wide or own.height_px >= high:
            return stage
        if own.width_px / wide >= own.height_px / high:
            return stage.resized(wide, int(own.height_px * wide / own.width_px))
        return stage.resized(int(own.width_px * high / own.height_px), high)


def turned(stage: Stage, counterclockwise: int) -> Stage:
    if counterclockwise % _QUARTER or not counterclockwise % _WHOLE_TURN:
        return stage
    angle = float(-counterclockwise % _WHOLE_TURN)
    own = stage.size
    is_lying = counterclockwise % (2 * _QUARTER) != 0
    return stage.then(Rotate(angle), size=Size(own.height_px, own.width_px) if is_lying else own)


def _on(color: str, stage: Stage) -> Stage:
    """On the colour; a colour with transparency of its own counts as opaque, an invisible one does nothing."""
    if color.endswith("00") and len(color) > _OPAQUE:
        return stage
    return stage.then(Flatten(color[:_OPAQUE]), has_alpha=False)
