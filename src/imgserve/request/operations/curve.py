"""curve: a tone curve through given points. Its Struct; ``worker/steps/curve.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.errors import FieldRef
from imgserve.request.faults import Fault
from imgserve.request.operations.operation import KeepsSize

Level = Annotated[float, msgspec.Meta(ge=0, le=255)]
Point = Annotated[tuple[Level, ...], msgspec.Meta(min_length=2, max_length=2)]
Points = Annotated[tuple[Point, ...], msgspec.Meta(min_length=2, max_length=256)]


class Curve(KeepsSize, frozen=True, tag="curve"):
    """Each value of a colour becomes that of a curve, within 0 and 255: a natural cubic spline through the points.

    A point is ``[before, after]``, in the order of ``before``; beyond the first and the last one the curve is flat.
    The curves of the channels come first, then that for ``all``. Those of channels turn a grey picture into one in
    colour. Transparency stays.
    """

    all: Annotated[Points | None, msgspec.Meta(description="the points for red, green and blue alike")] = None
    red: Annotated[Points | None, msgspec.Meta(description="the points for red")] = None
    green: Annotated[Points | None, msgspec.Meta(description="the points for green")] = None
    blue: Annotated[Points | None, msgspec.Meta(description="the points for blue")] = None

    def faults(self) -> tuple[Fault, ...]:
        curves = {name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name) is not None}
        if not curves:
            names = (FieldRef(("all",)), ", ", FieldRef(("red",)), ", ", FieldRef(("green",)), " or ")
            return (Fault("field_invalid", ("all",), ("a curve needs one of ", *names, FieldRef(("blue",)))),)
        return tuple(
            Fault("field_invalid", (name, index), "must lie to the right of the point before")
            for name, points in curves.items()
            for index in range(1, len(points))
            if points[index][0] <= points[index - 1][0]
        )
