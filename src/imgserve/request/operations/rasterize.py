"""rasterize: draw an SVG. Its Struct and its size rule; ``worker/steps/rasterize.py`` carries it out."""

from typing import Annotated, Literal

import msgspec

from imgserve.errors import FieldRef
from imgserve.request.geometry import NotSvg, Shape, box
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Side

Dpi = Annotated[float, msgspec.Meta(ge=1, le=2400, description="dots per inch, for absolute units in an SVG")]


class Rasterize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="operation", tag="rasterize"):
    """Draw an SVG into width x height. ``contain`` keeps its shape by preserveAspectRatio, ``fill`` stretches."""

    width: Side | None = None
    height: Side | None = None
    fit: Literal["contain", "fill"] = "contain"
    dpi: Dpi = 72.0

    def size_after(self, before: Shape) -> Size:
        """Raises RequestInvalid without a side, SourceTooSmall for a drawing without size."""
        return box(self.width, self.height, before)

    def check(self, before: Shape) -> None:
        """Raises NotSvg."""
        if not before.is_drawing:
            is_source = f"{before.name} is {before.format or 'drawn already'}"
            raise NotSvg(f"rasterize expects an SVG, {is_source}", ("use ", FieldRef(("operation",), "resize")))
