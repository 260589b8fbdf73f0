"""resize: bring a picture to a box. Its Struct and its size rule; ``worker/steps/resize.py`` carries it out."""

from typing import Literal

from imgserve.errors import FieldRef
from imgserve.request.geometry import Gravity, Shape, SourceTooSmall, box
from imgserve.request.limits import Side
from imgserve.request.operations.operation import Named

IfSmall = Literal["refuse", "keep", "keep_shape", "enlarge"]


class Resize(Named, frozen=True, tag="resize"):
    """Scale to cover width x height and crop the rest; with one side alone the other follows the source."""

    width: Side | None = None
    height: Side | None = None
    fit: Literal["cover"] = "cover"
    gravity: Gravity = "center"
    if_small: IfSmall = "keep"

    def after(self, before: Shape) -> Shape:
        """Raises RequestInvalid without a side, SourceTooSmall for a drawing without size."""
        return box(self.width, self.height, before)

    def check(self, before: Shape) -> None:
        """Raises SourceTooSmall."""
        # An SVG has no pixels to enlarge: it is drawn at any size, as by other image servers.
        if self.if_small != "refuse" or before.is_drawing:
            return
        is_narrow = self.width is not None and before.width_px < self.width
        is_low = self.height is not None and before.height_px < self.height
        if is_narrow or is_low:
            raise SourceTooSmall(
                f"{before.name} is {before.width_px:g} x {before.height_px:g} px, smaller than the result",
                ("ask for a smaller size, or use ", FieldRef(("if_small",), "enlarge")),
            )
