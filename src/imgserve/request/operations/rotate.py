"""rotate: turn a picture. Its Struct and its size rule; ``worker/steps/rotate.py`` carries it out."""

from math import cos, radians, sin
from typing import Annotated

import msgspec

from imgserve.request.color import TRANSPARENT, Color
from imgserve.request.geometry import Shape, rounded
from imgserve.request.operations.operation import Named

Angle = Annotated[float, msgspec.Meta(ge=-360, le=360, description="degrees clockwise")]
_QUARTER = 90


class Rotate(Named, frozen=True, tag="rotate"):
    """Turn the picture clockwise. The result holds all of it; ``background`` fills the corners.

    Multiples of 90 degrees move pixels and change none.
    """

    angle: Angle
    background: Annotated[Color, msgspec.Meta(description="the corners")] = TRANSPARENT

    @property
    def quarters(self) -> int | None:
        """How many quarter turns, 0 to 3; None for any other angle."""
        quarters, rest = divmod(self.angle, _QUARTER)
        return int(quarters) % 4 if rest == 0 else None

    def after(self, before: Shape) -> Shape:
        """Raises SourceTooSmall for a drawing without size."""
        width, height = before.size.width_px, before.size.height_px
        if self.quarters is not None:
            return before.resized(height, width) if self.quarters % 2 else before.resized(width, height)
        across, down = abs(cos(radians(self.angle))), abs(sin(radians(self.angle)))
        return before.resized(rounded(width * across + height * down), rounded(width * down + height * across))
