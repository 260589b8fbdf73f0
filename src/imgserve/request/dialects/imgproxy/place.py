"""The place of an inner box in an outer one, as the original computes it, in pixels. For ``plan``."""

from typing import NamedTuple

from imgserve.request.dialects.imgproxy.parameters import Gravity, Position
from imgserve.request.dialects.imgproxy.rounding import rounded_to_even

# Across and down: -1 for west and north, 0 for the middle, 1 for east and south.
_ANCHORS: dict[Position, tuple[int, int]] = {
    "ce": (0, 0), "no": (0, -1), "so": (0, 1), "ea": (1, 0), "we": (-1, 0), "noea": (1, -1), "nowe": (-1, -1),
    "soea": (1, 1), "sowe": (-1, 1), "re": (0, 0), "sm": (0, 0), "fp": (0, 0),
}  # fmt: skip


class Axis(NamedTuple):
    """A gravity along one axis. ``is_point``: the offset is a focus point, from 0 to 1."""

    anchor: int
    offset: float
    is_point: bool = False

    def reversed(self) -> "Axis":
        """The same place in the mirror image. Offsets from an edge stay with their edge."""
        if self.is_point:
            return self._replace(offset=1 - self.offset)
        return Axis(-self.anchor, self.offset if self.anchor else -self.offset)

    def begin(self, outer: int, inner: int, dpr: float) -> int:
        """Of the inner box, within the outer one."""
        return max(0, min(self._begin(outer, inner, dpr), outer - inner))

    def margin(self, outer: int, dpr: float) -> int:
        """The offset in pixels: those of at least 1 are pixels times ``dpr``, others a share of the outer side."""
        return rounded_to_even(self.offset * dpr if abs(self.offset) >= 1 else outer * self.offset)

    def _begin(self, outer: int, inner: int, dpr: float) -> int:
        if self.is_point:
            return rounded_to_even(outer * self.offset) - inner // 2
        margin = self.margin(outer, dpr)
        if self.anchor < 0:
            return margin
        if self.anchor > 0:
            return outer - inner - margin
        return rounded_to_even((outer - inner + 1) / 2) + margin


class Place(NamedTuple):
    """Across and down."""

    x: Axis
    y: Axis

    def before(self, angle: int, *, flop: bool, flip: bool) -> "Place":
        """The place in the picture that this one becomes: it is turned clockwise, and mirrored then."""
        x = self.x.reversed() if flop else self.x
        y = self.y.reversed() if flip else self.y
        # Not a quarter turn three times: 1 - (1 - x) is not x in floats, and ties would fall elsewhere.
        if angle == 270:
            return Place(y.reversed(), x)
        for _ in range(angle // 90):
            x, y = y, x.reversed()
        return Place(x, y)


def of(gravity: Gravity) -> Place:
    across, down = _ANCHORS[gravity.type]
    is_point = gravity.type == "fp"
    return Place(Axis(across, gravity.x, is_point), Axis(down, gravity.y, is_point))
