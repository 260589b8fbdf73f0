"""trim: cut off borders of one colour. Its Struct and its size rule; ``worker/steps/trim.py`` carries it out."""

from typing import Annotated, Literal

import msgspec

from imgserve.errors import FieldRef
from imgserve.request import color
from imgserve.request.faults import Fault
from imgserve.request.geometry import Shape
from imgserve.request.operations.operation import Named

_MOST_OF_CHANNEL, _MOST = 255, 442  # the distance from black to white
Level = Annotated[float, msgspec.Meta(ge=0, le=_MOST, description="levels of 255")]
Background = Annotated[str, color.meta("corner")]


class Trim(Named, frozen=True, tag="trim"):
    """Cut off what looks like the background: no channel differs from it by more than ``threshold``.

    The background is the pixel in the ``corner``, or a colour. Transparent pixels belong to it, unless a ``matte`` lies
    behind them. A picture under 3 px, or of background alone, stays. The size after it depends on the picture.
    """

    threshold: Level = 10.0
    background: Annotated[
        Background, msgspec.Meta(description="the colour that is cut off; `corner`: that of the pixel there")
    ] = "corner"
    corner: Annotated[
        Literal["top_left", "bottom_right"], msgspec.Meta(description="the corner whose pixel is the background")
    ] = "top_left"
    even_x: Annotated[bool, msgspec.Meta(description="as much from the left as from the right")] = False
    even_y: Annotated[bool, msgspec.Meta(description="as much from the top as from the bottom")] = False
    distance: Annotated[
        Literal["channel", "euclidean"],
        msgspec.Meta(
            description="what `threshold` bounds: the largest difference of a channel, or the root of the sum of all "
            "squares, that of transparency too (up to 442)"
        ),
    ] = "channel"
    matte: Annotated[
        color.OpaqueColor | None,
        msgspec.Meta(description="the picture is compared as it looks on this colour; its transparency stays"),
    ] = None
    median: Annotated[
        bool, msgspec.Meta(description="each pixel is compared by the median of 3 x 3: thin lines are background")
    ] = False

    def faults(self) -> tuple[Fault, ...]:
        if self.threshold <= _MOST_OF_CHANNEL or self.distance == "euclidean":
            return ()
        note = (f"above {_MOST_OF_CHANNEL} it needs ", FieldRef(("distance",), "euclidean"))
        return (Fault("field_invalid", ("threshold",), note),)

    def after(self, before: Shape) -> Shape:
        """The size before: only pixels tell the real one. Raises SourceTooSmall for a drawing without size."""
        size = before.size
        return Shape(size.width_px, size.height_px, is_open=True)
