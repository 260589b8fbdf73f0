"""redact: make parts of a picture unreadable. Its Structs; ``worker/steps/redact.py`` carries it out."""

from typing import Annotated, Literal, NamedTuple

import msgspec

from imgserve.errors import FieldRef
from imgserve.request.color import Color
from imgserve.request.faults import Fault
from imgserve.request.geometry import Length, SideLength, pixels
from imgserve.request.imageinfo import Size
from imgserve.request.operations.operation import KeepsSize

MOST_REGIONS = 100  # faces of a crowd; each is a pass over its part of the picture
BLACK = "#000000"


class Box(NamedTuple):
    """Pixels of a picture: whole ones, within it."""

    left: int
    top: int
    width: int
    height: int


class Region(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rectangle, in pixels or per cent of the picture's width and height. The part beyond the picture is cut off."""

    left: Length
    top: Length
    width: SideLength
    height: SideLength

    def within(self, size: Size) -> Box | None:
        """None: it lies beyond the picture."""
        left, top = pixels(self.left, size.width_px), pixels(self.top, size.height_px)
        width, height = self.sides(size)
        right, bottom = min(left + width, size.width_px), min(top + height, size.height_px)
        return Box(left, top, right - left, bottom - top) if right > left and bottom > top else None

    def sides(self, size: Size) -> tuple[int, int]:
        """Width and height as asked for, at least 1."""
        return max(1, pixels(self.width, size.width_px)), max(1, pixels(self.height, size.height_px))


class Redact(KeepsSize, frozen=True, tag="redact"):
    """Make regions unreadable for good: ``blur`` (sigma at least an eighth of the region's longer side), ``pixelate``
    (at most eight cells on the longer side), or fill them with ``color``.
    """

    regions: Annotated[
        tuple[Region, ...],
        msgspec.Meta(min_length=1, max_length=MOST_REGIONS, description=f"the rectangles, at most {MOST_REGIONS}"),
    ]
    mode: Annotated[
        Literal["blur", "pixelate", "color"], msgspec.Meta(description="how the regions are made unreadable")
    ] = "blur"
    color: Annotated[
        Color | None, msgspec.Meta(description="the colour for `mode` `color`; black if it is missing")
    ] = None

    def faults(self) -> tuple[Fault, ...]:
        if self.color is None or self.mode == "color":
            return ()
        return (Fault("field_invalid", ("color",), ("belongs to ", FieldRef(("mode",), "color"))),)
