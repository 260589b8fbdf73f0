"""rasterize: draw an SVG. Its Struct and its size rule; ``worker/steps/rasterize.py`` carries it out."""

from typing import Literal

from imgserve.errors import FieldRef
from imgserve.request.geometry import NotSvg, Shape, box
from imgserve.request.limits import Side
from imgserve.request.operations.operation import Named


class Rasterize(Named, frozen=True, tag="rasterize"):
    """Draw an SVG into width x height. ``contain`` keeps its shape by preserveAspectRatio, ``fill`` stretches."""

    width: Side | None = None
    height: Side | None = None
    fit: Literal["contain", "fill"] = "contain"

    def after(self, before: Shape) -> Shape:
        """Raises RequestInvalid without a side, SourceTooSmall for a drawing without size."""
        return box(self.width, self.height, before)

    def check(self, before: Shape) -> None:
        """Raises NotSvg."""
        if not before.is_drawing:
            is_source = f"{before.name} is {before.format or 'drawn already'}"
            raise NotSvg(f"rasterize expects an SVG, {is_source}", ("use ", FieldRef(("operation",), "resize")))
