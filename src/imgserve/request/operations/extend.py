"""extend: add space around a picture. Its Struct and its size rule; ``worker/steps/extend.py`` carries it out."""

from typing import Annotated, Literal

import msgspec

from imgserve.errors import FieldRef
from imgserve.request import color
from imgserve.request.faults import Fault
from imgserve.request.geometry import Compass, Length, Part, Shape, SideLength, corner, pixels
from imgserve.request.imageinfo import Size
from imgserve.request.operations.operation import Named

Mode = Literal["color", "copy", "repeat", "mirror", "blur", "stretch"]
Background = Annotated[str, color.meta("mean")]
_MARGINS, _BOX = ("top", "right", "bottom", "left"), ("width", "height")


class Extend(Named, frozen=True, tag="extend"):
    """Add space on each side; or up to ``width`` x ``height``, the picture at a ``gravity`` or at ``left`` and ``top``.

    ``mode``: the ``background`` colour (or ``mean``, the picture's own), copies of the edge, the picture again, its
    mirror images, or a blurred picture: one that covers the box (`blur`), or the whole one, stretched over the box and
    blurred by 50 pixels before (`stretch`). A side that is larger than the box, or missing, stays.
    """

    top: Annotated[Length | None, msgspec.Meta(description="space above")] = None
    right: Annotated[Length | None, msgspec.Meta(description="space on the right")] = None
    bottom: Annotated[Length | None, msgspec.Meta(description="space below")] = None
    left: Annotated[Length | None, msgspec.Meta(description="space on the left")] = None
    width: Annotated[SideLength | None, msgspec.Meta(description="of the result, at least the picture's")] = None
    height: Annotated[SideLength | None, msgspec.Meta(description="of the result, at least the picture's")] = None
    gravity: Annotated[Compass | None, msgspec.Meta(description="the picture's place in `width` and `height`")] = None
    mode: Annotated[Mode, msgspec.Meta(description="what fills the space")] = "color"
    background: Annotated[
        Background, msgspec.Meta(description="the colour for `mode` `color`; `mean`: the picture's own")
    ] = color.TRANSPARENT

    def faults(self) -> tuple[Fault, ...]:
        given = [name for name in (*_MARGINS, *_BOX, "gravity") if getattr(self, name) is not None]
        box = [name for name in _BOX if name in given]
        if not set(given).difference(("gravity",)):
            sides = [part for name in _MARGINS for part in (FieldRef((name,)), ", ")]
            note = ("extend needs one of ", *sides, FieldRef(("width",)), " or ", FieldRef(("height",)))
            return (Fault("size_missing", ("width",), note),)
        pairs = [(name, other) for name in ("right", "bottom") for other in box[:1]]
        pairs += [("gravity", name) for name in ("left", "top")]
        faults = [
            Fault("field_invalid", (name,), ("contradicts ", FieldRef((other,)), "; give one of the two"))
            for name, other in pairs
            if name in given and other in given
        ]
        if "gravity" in given and not box:
            note = ("belongs to ", FieldRef(("width",)), " and ", FieldRef(("height",)))
            faults.append(Fault("field_invalid", ("gravity",), note))
        for edge, side in (("left", "width"), ("top", "height")):
            if box and edge in given and side not in given:
                note = ("beside ", FieldRef((box[0],)), " it is a place in ", FieldRef((side,)), ", which is missing")
                faults.append(Fault("field_invalid", (edge,), note))
        return tuple(faults)

    def after(self, before: Shape) -> Shape:
        """Raises SourceTooSmall for a drawing without size."""
        size = self.part(before.size).size
        return before.resized(size.width_px, size.height_px)

    def part(self, whole: Size) -> Part:
        """The place of a picture of this size, and the size of the result."""
        left, top = pixels(self.left or 0, whole.width_px), pixels(self.top or 0, whole.height_px)
        if self.width is None and self.height is None:
            right, bottom = pixels(self.right or 0, whole.width_px), pixels(self.bottom or 0, whole.height_px)
            return Part(left, top, Size(left + whole.width_px + right, top + whole.height_px + bottom))
        width = max(whole.width_px, pixels(self.width or 0, whole.width_px))
        height = max(whole.height_px, pixels(self.height or 0, whole.height_px))
        size = Size(width, height)
        if self.left is None and self.top is None:
            return Part(*corner(self.gravity or "center", whole, size), size)
        return Part(min(left, width - whole.width_px), min(top, height - whole.height_px), size)
