"""Turns and mirrors of a picture: EXIF's orientation and the URL's options, as one value. For ``stage``."""

from typing import NamedTuple

from imgserve.request.dialects.imgproxy.sizes import Sides
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.rotate import Rotate
from imgserve.request.recipe import Operation


class Box(NamedTuple):
    """A part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


class Turn(NamedTuple):
    """Clockwise by quarters, then mirrored, left to right, if ``flop``: all eight orientations are of this form."""

    angle: int = 0
    flop: bool = False

    def then(self, later: "Turn") -> "Turn":
        """A mirror before a turn is the opposite turn before that mirror."""
        angle = self.angle - later.angle if self.flop else self.angle + later.angle
        return Turn(angle % 360, self.flop != later.flop)

    def sides(self, before: Sides) -> Sides:
        return before.turned(self.angle)

    def box(self, box: Box, whole: Sides) -> Box:
        """Where a part of the picture is behind the turn. ``whole``: the picture before it."""
        for _ in range(self.angle // 90):
            box = Box(whole.height - box.top - box.height, box.left, box.height, box.width)
            whole = whole.turned(90)
        return box._replace(left=whole.width - box.left - box.width) if self.flop else box

    def operations(self) -> tuple[Operation, ...]:
        if self == _UPSIDE_DOWN:
            return (Flip(),)
        turned = (Rotate(float(self.angle)),) if self.angle else ()
        return (*turned, Flop()) if self.flop else turned


UPRIGHT = Turn()
_UPSIDE_DOWN = Turn(180, flop=True)
# CIPA DC-008, 4.6.4: what makes each orientation upright.
_OF_EXIF = {
    2: Turn(0, flop=True), 3: Turn(180), 4: Turn(180, flop=True), 5: Turn(90, flop=True), 6: Turn(90),
    7: Turn(270, flop=True), 8: Turn(270),
}  # fmt: skip


def of_exif(orientation: int) -> Turn:
    return _OF_EXIF.get(orientation, UPRIGHT)


def of_options(angle: int, *, flop: bool, flip: bool) -> Turn:
    """Turned clockwise, then mirrored."""
    turn = Turn(angle, flop)
    return turn.then(_UPSIDE_DOWN) if flip else turn
