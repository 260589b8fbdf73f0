"""The changes that can be asked for, one Struct each; field words are sharp's and CSS's.

Ranges and units stand here once: the classic parser, the native API and the reference page read them from the types.
"""

from typing import Annotated, Literal

import msgspec

from imgserve.request.limits import MAX_SIDE_PX

Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE_PX, description="pixels")]
Dpi = Annotated[float, msgspec.Meta(ge=1, le=2400, description="dots per inch, for absolute units in an SVG")]
Gravity = Literal[
    "center", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest",
    "attention", "entropy",
]  # fmt: skip


class Resize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="operation", tag="resize"):
    """Scale to cover width x height and crop what hangs over; with one side given the other follows the source."""

    width: Side | None = None
    height: Side | None = None
    fit: Literal["cover"] = "cover"
    gravity: Gravity = "center"
    enlarge: bool = False


class Rasterize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="operation", tag="rasterize"):
    """Draw an SVG into width x height. ``contain`` keeps its shape by preserveAspectRatio, ``fill`` stretches."""

    width: Side | None = None
    height: Side | None = None
    fit: Literal["contain", "fill"] = "contain"
    dpi: Dpi = 72.0


Operation = Resize | Rasterize
