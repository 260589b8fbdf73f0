"""composite: draw a further picture on this one. Its Struct and its arithmetic.

``worker/steps/composite.py`` carries it out.
"""

from typing import Annotated, Literal

import msgspec

from imgserve.errors import FieldRef
from imgserve.request.faults import Fault
from imgserve.request.geometry import Compass, Length, Offset, Shape, SideLength, corner, exact, pixels, ratio, scaled
from imgserve.request.imageinfo import Size
from imgserve.request.imageref import Image
from imgserve.request.operations.operation import KeepsSize
from imgserve.request.operations.rotate import Angle, Rotate

Blend = Literal["over", "multiply", "screen", "overlay", "darken", "lighten"]

_EDGES = ("left", "right", "top", "bottom")


class Composite(KeepsSize, frozen=True, tag="composite"):
    """Draw a further picture on this one, such as a watermark: at a place by ``gravity`` (the middle, if nothing is
    given), or at a distance from the edges, where a negative one hangs over and is cut off.

    ``width`` and ``height`` fit it into a box, ``scale`` makes it so many times as wide as this picture; without any
    it has its own size. ``angle`` turns it clockwise. ``tile`` repeats it, ``spacing_x`` and ``spacing_y`` apart.
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
    tile: Annotated[bool, msgspec.Meta(description="`true`: repeat it over the whole picture")] = False
    spacing_x: Annotated[Length | None, msgspec.Meta(description="space between repetitions, across")] = None
    spacing_y: Annotated[Length | None, msgspec.Meta(description="space between repetitions, down")] = None
    angle: Angle = 0.0

    def faults(self) -> tuple[Fault, ...]:
        pairs = [("gravity", edge) for edge in _EDGES] + [("left", "right"), ("top", "bottom")]
        pairs += [("scale", "width"), ("scale", "height")]
        faults = [
            Fault("field_invalid", (first,), ("contradicts ", FieldRef((second,)), ", give one of the two"))
            for first, second in pairs
            if getattr(self, first) is not None and getattr(self, second) is not None
        ]
        for spacing in ("spacing_x", "spacing_y"):
            if getattr(self, spacing) is not None and not self.tile:
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
        if self.left is not None:
            left = pixels(self.left, on.width_px)
        elif self.right is not None:
            left = on.width_px - size.width_px - pixels(self.right, on.width_px)
        if self.top is not None:
            top = pixels(self.top, on.height_px)
        elif self.bottom is not None:
            top = on.height_px - size.height_px - pixels(self.bottom, on.height_px)
        return left, top

    def period(self, size: Size, on: Size) -> Size:
        """From one repetition of the turned picture to the next, across and down."""
        across, down = pixels(self.spacing_x or 0, on.width_px), pixels(self.spacing_y or 0, on.height_px)
        return Size(size.width_px + across, size.height_px + down)
