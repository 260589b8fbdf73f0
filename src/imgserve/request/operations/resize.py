"""resize: scale to cover a box and crop. Its Struct and its size rule; ``worker/steps/resize.py`` carries it out."""

from typing import Literal

import msgspec

from imgserve.errors import FieldRef
from imgserve.request.geometry import Gravity, Shape, SourceTooSmall, box
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Side


class Resize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="operation", tag="resize"):
    """Scale to cover width x height and crop the rest; with one side alone the other follows the source."""

    width: Side | None = None
    height: Side | None = None
    fit: Literal["cover"] = "cover"
    gravity: Gravity = "center"
    enlarge: bool = False

    def size_after(self, before: Shape) -> Size:
        """Raises RequestInvalid without a side, SourceTooSmall for a drawing without size."""
        return box(self.width, self.height, before)

    def check(self, before: Shape) -> None:
        """Raises SourceTooSmall."""
        # An SVG has no pixels to enlarge: it is drawn at any size, as by other image servers.
        if self.enlarge or before.is_drawing:
            return
        is_narrow = self.width is not None and before.width_px < self.width
        is_low = self.height is not None and before.height_px < self.height
        if is_narrow or is_low:
            raise SourceTooSmall(
                f"{before.name} is {before.width_px:g} x {before.height_px:g} px, smaller than the result",
                ("ask for a smaller size, or use ", FieldRef(("enlarge",), True)),
            )
