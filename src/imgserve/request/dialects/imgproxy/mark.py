"""The watermark: parameters and sizes in, the operation that draws it out. For ``plan``.

The size of its picture is not known here, so its place is a gravity, and an offset from it.
"""

from imgserve.request.dialects.imgproxy import place
from imgserve.request.dialects.imgproxy.parameters import Parameters, Position, Watermark
from imgserve.request.dialects.imgproxy.rounding import rounded_to_even
from imgserve.request.dialects.imgproxy.sizes import Sides
from imgserve.request.geometry import Compass
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import MAX_SIDE_PX, MAX_SOURCE_SIDE_PX
from imgserve.request.operations.composite import Composite

_COMPASS: dict[Position, Compass] = {
    "ce": "center", "no": "north", "so": "south", "ea": "east", "we": "west", "noea": "northeast",
    "nowe": "northwest", "soea": "southeast", "sowe": "southwest",
}  # fmt: skip


def drawn(picture: Parameters, on: Sides, dpr: float) -> tuple[Composite, ...]:
    """``on``: the result with its space. ``dpr``: the factor of offsets."""
    mark = picture.watermark
    opacity = mark.opacity * mark.factor
    if not opacity:
        return ()
    image = ImageRef(url=mark.url) if mark.url else ImageRef(name=mark.name)
    width, height = _box(mark, on)
    place_fields = _place(mark, on, dpr)
    return (Composite(image, width=width, height=height, opacity=opacity, **place_fields),)  # type: ignore[arg-type]


def _place(mark: Watermark, on: Sides, dpr: float) -> dict[str, object]:
    """Fields of Composite."""
    across, down = place.of(mark.position)
    x, y = _bounded(across.margin(on.width, dpr)), _bounded(down.margin(on.height, dpr))
    if mark.position.type == "re":
        return {"gravity": "center", "tile": True, "spacing_x": max(x, 0), "spacing_y": max(y, 0)}
    fields: dict[str, object] = {"gravity": _COMPASS[mark.position.type]}
    # The original's offsets lead away from an edge, and from the middle to the right and down.
    fields |= {"offset_x": -x if across.anchor > 0 else x} if x else {}
    fields |= {"offset_y": -y if down.anchor > 0 else y} if y else {}
    return fields


def _box(mark: Watermark, on: Sides) -> tuple[int | None, int | None]:
    """The box that it is fitted into; None for its own size."""
    if not mark.scale:
        return None, None
    width, height = (min(max(rounded_to_even(side * mark.scale), 1), MAX_SIDE_PX) for side in on)
    return width, height


def _bounded(offset: int) -> int:
    return max(-MAX_SOURCE_SIDE_PX, min(offset, MAX_SOURCE_SIDE_PX))
