"""composite: draw a further picture on this one. Its Struct and its arithmetic.

``worker/steps/composite.py`` carries it out.
"""

from math import ceil
from typing import Annotated, Literal, NamedTuple

import msgspec

from imgserve.errors import FieldRef
from imgserve.request.faults import Fault
from imgserve.request.geometry import (
    EVEN,
    Compass,
    Offset,
    Shape,
    SideLength,
    Spacing,
    corner,
    exact,
    pixels,
    ratio,
    scaled,
)
from imgserve.request.imageinfo import Size
from imgserve.request.imageref import Image
from imgserve.request.operations.operation import KeepsSize
from imgserve.request.operations.rotate import Angle, Rotate

Blend = Literal["over", "multiply", "screen", "overlay", "darken", "lighten"]
Tile = Literal["x", "y"] | bool

_EDGES_OF: dict[Literal["x", "y"], tuple[str, str]] = {"x": ("left", "right"), "y": ("top", "bottom")}
_EDGES = (*_EDGES_OF["x"], *_EDGES_OF["y"])


class Run(NamedTuple):
    """The repetitions along one side, in pixels: the first one's start, the distance from one to the next, how many."""

    start: int
    period: int
    times: int


class Composite(KeepsSize, frozen=True, tag="composite"):
    """Draw a further picture on this one, such as a watermark: at a place by ``gravity`` (the middle, if nothing is
    given), moved by ``offset_x`` and ``offset_y``; or at a distance from the edges, where a negative one hangs over and
    is cut off.

    ``width`` and ``height`` fit it into a box, ``scale`` makes it so many times as wide as this picture; without any
    it has its own size. ``angle`` turns it clockwise. ``tile`` repeats it, ``spacing_x`` and ``spacing_y`` apart; with
    ``even`` as often as it fits whole, from edge to edge.
    """

    image: Annotated[
        Image, msgspec.Meta(description="the further picture: a URL, or the name of a picture of the settings")
    ]
    gravity: Annotated[Compass | None, msgspec.Meta(description="its place")] = None
    left: Annotated[Offset | None, msgspec.Meta(description="distance from that edge; negative hangs over")] = None
    right: Annotated[Offset | None, msgspec.Meta(description="distance from that edge; negative hangs over")] = None
    top: Annotated[Offset | None, msgspec.Meta(description="distance from that edge; negative hangs over")] = None
    bottom: Annotated[Offset | None, msgspec.Meta(description="distance from that edge; negative hangs over")] = None
    width: Annotated[SideLength | None, msgspec.Meta(description="of the box that it is fitted into")] = None
    height: Annotated[SideLength | None, msgspec.Meta(description="of the box that it is fitted into")] = None
    scale: (
        Annotated[float, msgspec.Meta(gt=0, le=10, description="its width, as a fraction of the picture's")] | None
    ) = None
    opacity: Annotated[float, msgspec.Meta(ge=0, le=1, description="0: nothing to be seen, 1: as it is")] = 1.0
    blend: Annotated[Blend, msgspec.Meta(description="how its colours are mixed with those below")] = "over"
    tile: Annotated[
        Tile, msgspec.Meta(description="`true`: repeat it over the whole picture; `x`, `y`: across or down alone")
    ] = False
    spacing_x: Annotated[Spacing | None, msgspec.Meta(description="space between repetitions, across")] = None
    spacing_y: Annotated[Spacing | None, msgspec.Meta(description="space between repetitions, down")] = None
    angle: Angle = 0.0
    offset_x: Annotated[Offset | None, msgspec.Meta(description="moves it to the right; negative: to the left")] = None
    offset_y: Annotated[Offset | None, msgspec.Meta(description="moves it down; negative: up")] = None

    fade: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="taken from the opacity of each of its pixels, where 1 is opaque")
    ] = 0.0

    def faults(self) -> tuple[Fault, ...]:
        pairs = [("gravity", edge) for edge in _EDGES] + [("left", "right"), ("top", "bottom")]
        pairs += [("scale", "width"), ("scale", "height")]
        pairs += [(f"offset_{axis}", edge) for axis, edges in _EDGES_OF.items() for edge in edges]
        faults = [
            Fault("field_invalid", (first,), ("contradicts ", FieldRef((second,)), ", give one of the two"))
            for first, second in pairs
            if getattr(self, first) is not None and getattr(self, second) is not None
        ]
        for axis in _EDGES_OF:
            spacing = f"spacing_{axis}"
            if getattr(self, spacing) is not None and self.tile not in (True, axis):
                faults.append(Fault("field_invalid", (spacing,), ("belongs to ", FieldRef(("tile",), True))))
        return tuple(faults)

    def drawn(self, own: Shape, on: Size) -> Size:
        """The size at which a picture is drawn, before it is turned. Raises SourceTooSmall for one without size."""
        factors = []
        if self.scale is not None:
            factors.append(exact(self.scale) * ratio(on.width_px, own.width_px))
        if self.width is not None:
            factors.append(ratio(max(1, pixels(self.width, on.width_px)), own.width_px))
        if self.height is not None:
            factors.append(ratio(max(1, pixels(self.height, on.height_px)), own.height_px))
        if not factors:
            return own.size
        factor = min(factors)
        return Size(scaled(own.width_px, factor), scaled(own.height_px, factor))

    def turned(self, size: Size) -> Size:
        """The box that holds a picture of this size once it is turned."""
        return Rotate(self.angle).after(Shape(size.width_px, size.height_px)).size

    def corner(self, size: Size, on: Size) -> tuple[int, int]:
        """Left and top of the turned picture, of a repeated one those of the repetition that the others follow."""
        left, top = corner(self.gravity or "center", size, on)
        left += pixels(self.offset_x or 0, on.width_px)
        top += pixels(self.offset_y or 0, on.height_px)
        if self.left is not None:
            left = pixels(self.left, on.width_px)
        elif self.right is not None:
            left = on.width_px - size.width_px - pixels(self.right, on.width_px)
        if self.top is not None:
            top = pixels(self.top, on.height_px)
        elif self.bottom is not None:
            top = on.height_px - size.height_px - pixels(self.bottom, on.height_px)
        return left, top

    def runs(self, size: Size, on: Size) -> tuple[Run, Run]:
        """The repetitions of the turned picture, across and down."""
        left, top = self.corner(size, on)
        across = _run(left, size.width_px, on.width_px, self.spacing_x or 0)
        down = _run(top, size.height_px, on.height_px, self.spacing_y or 0)
        return (
            across if self.tile in (True, "x") else Run(left, size.width_px, 1),
            down if self.tile in (True, "y") else Run(top, size.height_px, 1),
        )


def _run(place: int, side: int, whole: int, spacing: int | str) -> Run:
    """Along the whole side of the canvas. A single repetition stays at its place."""
    if spacing == EVEN:
        count = max(1, whole // side)
        return Run(place, side, 1) if count == 1 else Run(0, side + (whole - count * side) // (count - 1), count)
    period = side + pixels(spacing, whole)
    start = place % period - period
    return Run(start, period, ceil((whole - start) / period))
