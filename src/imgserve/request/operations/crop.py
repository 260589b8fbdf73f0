"""crop: keep a part of a picture. Its Struct and its size rule; ``worker/steps/crop.py`` carries it out."""

from fractions import Fraction
from functools import lru_cache
from typing import Annotated

import msgspec

from imgserve.errors import FieldRef
from imgserve.request.faults import Fault
from imgserve.request.geometry import (
    Focal,
    Gravity,
    Length,
    NothingLeft,
    Part,
    Place,
    Shape,
    SideLength,
    corner,
    pixels,
    rounded,
)
from imgserve.request.imageinfo import Size
from imgserve.request.operations.operation import Named

Aspect = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d{1,5}(\.\d{1,4})?:\d{1,5}(\.\d{1,4})?$",
        description='width to height, as "16:9"',
        extra={"expected": 'a ratio such as "16:9"'},
    ),
]
_PLACES = ("gravity", "focal")


class Crop(Named, frozen=True, tag="crop"):
    """Keep a part: from ``left`` and ``top``, or at a ``gravity`` or ``focal`` point; or the largest of an ``aspect``.

    A missing side is the whole side. The part beside the picture is left out.
    """

    left: Annotated[Length | None, msgspec.Meta(description="distance from the picture's left edge; 0 if missing")] = (
        None
    )
    top: Annotated[Length | None, msgspec.Meta(description="distance from the picture's top; 0 if missing")] = None
    width: Annotated[SideLength | None, msgspec.Meta(description="of the part; the picture's own if missing")] = None
    height: Annotated[SideLength | None, msgspec.Meta(description="of the part; the picture's own if missing")] = None
    gravity: Annotated[
        Gravity | None,
        msgspec.Meta(
            description="the place of the part; `attention`: the most eye-catching, `entropy`: the most detailed"
        ),
    ] = None
    focal: Annotated[Focal | None, msgspec.Meta(description="the point that is as near to the middle as fits")] = None
    aspect: Aspect | None = None

    @property
    def place(self) -> Place | None:
        """None: the part begins at ``left`` and ``top``."""
        if self.aspect is not None:
            return self.focal or self.gravity or "center"
        return self.focal or self.gravity

    def faults(self) -> tuple[Fault, ...]:
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if not set(given).difference(_PLACES):
            sides = (FieldRef(("width",)), ", ", FieldRef(("height",)), ", ", FieldRef(("left",)), ", ")
            note = ("a crop needs one of ", *sides, FieldRef(("top",)), " or ", FieldRef(("aspect",)))
            return (Fault("size_missing", ("width",), note),)
        faults = [
            Fault("field_invalid", (name,), ("contradicts ", FieldRef((other,)), "; give one of the two"))
            for name, others in (
                ("focal", ("gravity", "left", "top")),
                ("gravity", ("left", "top")),
                ("aspect", ("width", "height", "left", "top")),
            )
            for other in others
            if name in given and other in given
        ]
        if self.aspect is not None and 0 in _ratio(self.aspect):
            faults.append(Fault("field_invalid", ("aspect",), "", 'two numbers above 0, as "16:9"', self.aspect))
        return tuple(faults)

    def after(self, before: Shape) -> Shape:
        """At least 1 x 1: ``check`` refuses a part beside the picture. Raises SourceTooSmall for one without size."""
        _, _, width, height = self._clipped(before.size)
        return before.resized(max(1, width), max(1, height))

    def check(self, before: Shape) -> None:
        """Raises NothingLeft."""
        self.part(before.size)

    def part(self, whole: Size) -> Part:
        """The part of a picture of this size. Raises NothingLeft."""
        left, top, width, height = self._clipped(whole)
        if width < 1 or height < 1:
            raise NothingLeft(
                f"a crop from {left}, {top} leaves nothing of a picture of {whole.width_px} x {whole.height_px} px",
                ("use a smaller ", FieldRef(("left",)), " or ", FieldRef(("top",))),
            )
        return Part(left, top, Size(width, height))

    def _clipped(self, whole: Size) -> tuple[int, int, int, int]:
        """Left, top, and the sides within the picture, which may be below 1."""
        size = largest(self.aspect, whole) if self.aspect is not None else self._box(whole)
        if self.place is not None:
            return *corner(self.place, size, whole), size.width_px, size.height_px
        left, top = pixels(self.left or 0, whole.width_px), pixels(self.top or 0, whole.height_px)
        return left, top, min(size.width_px, whole.width_px - left), min(size.height_px, whole.height_px - top)

    def _box(self, whole: Size) -> Size:
        """No larger than the picture."""
        width = whole.width_px if self.width is None else max(1, pixels(self.width, whole.width_px))
        height = whole.height_px if self.height is None else max(1, pixels(self.height, whole.height_px))
        return Size(min(width, whole.width_px), min(height, whole.height_px))


def largest(aspect: str, whole: Size) -> Size:
    """The largest box of this ratio within a picture: one side is the picture's, the other rounded half up."""
    width, height = _ratio(aspect)
    if whole.width_px * height > whole.height_px * width:
        return Size(min(rounded(whole.height_px * width / height), whole.width_px), whole.height_px)
    return Size(whole.width_px, min(rounded(whole.width_px * height / width), whole.height_px))


@lru_cache(maxsize=64)
def _ratio(aspect: str) -> tuple[Fraction, Fraction]:
    width, height = aspect.split(":")
    return Fraction(width), Fraction(height)
