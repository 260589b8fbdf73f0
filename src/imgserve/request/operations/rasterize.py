"""rasterize: draw an SVG. Its Struct and its size rule; ``worker/steps/rasterize.py`` carries it out."""

from typing import Annotated, Literal

import msgspec

from imgserve.errors import FieldRef
from imgserve.request.faults import Fault
from imgserve.request.geometry import NotSvg, Shape, SourceTooSmall, box, exact, scaled
from imgserve.request.limits import Side
from imgserve.request.operations.operation import Named

Scale = Annotated[float, msgspec.Meta(ge=0.01, le=100, description="of the drawing's own size")]

_WIDTH, _HEIGHT, _SCALE = FieldRef(("width",)), FieldRef(("height",)), FieldRef(("scale",))


class Rasterize(Named, frozen=True, tag="rasterize"):
    """Draw an SVG into ``width`` x ``height``, or by a ``scale`` of its own size.

    ``contain`` keeps its shape by preserveAspectRatio, ``fill`` stretches.
    """

    width: Side | None = None
    height: Side | None = None
    fit: Annotated[
        Literal["contain", "fill"],
        msgspec.Meta(description="`contain`: the drawing keeps its shape; `fill`: it does not"),
    ] = "contain"
    scale: Scale | None = None

    def faults(self) -> tuple[Fault, ...]:
        given = [name for name in ("width", "height") if getattr(self, name) is not None]
        if self.scale is None and not given:
            return (Fault("size_missing", ("width",), ("rasterize needs ", _WIDTH, ", ", _HEIGHT, " or ", _SCALE)),)
        if self.scale is not None and given:
            note = ("contradicts ", FieldRef((given[0],)), "; give one of the two")
            return (Fault("field_invalid", ("scale",), note),)
        return ()

    def after(self, before: Shape) -> Shape:
        """Raises RequestInvalid without a side, SourceTooSmall for a drawing without size."""
        if self.scale is None:
            return box(self.width, self.height, before)
        if not (before.width_px > 0 and before.height_px > 0):
            raise SourceTooSmall("the source has no size of its own", ("give both ", _WIDTH, " and ", _HEIGHT))
        scale = exact(self.scale)
        return before.resized(scaled(before.width_px, scale), scaled(before.height_px, scale))

    def check(self, before: Shape) -> None:
        """Raises NotSvg."""
        if not before.is_drawing:
            is_source = f"{before.name} is {before.format or 'drawn already'}"
            raise NotSvg(f"rasterize expects an SVG, {is_source}", ("use ", FieldRef(("operation",), "resize")))
