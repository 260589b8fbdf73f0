"""round: round corners. Its Struct and the radii; ``worker/steps/round.py`` carries it out."""

from typing import Annotated, Literal

import msgspec

from imgserve.errors import FieldRef
from imgserve.request.color import OpaqueColor
from imgserve.request.faults import Fault
from imgserve.request.geometry import Length, pixels
from imgserve.request.imageinfo import Size
from imgserve.request.operations.operation import KeepsSize

Corner = Literal["top_left", "top_right", "bottom_right", "bottom_left"]
CORNERS: tuple[Corner, ...] = ("top_left", "top_right", "bottom_right", "bottom_left")

_RADIUS, _RX, _RY, _CIRCLE = (FieldRef((name,)) for name in ("radius", "rx", "ry", "circle"))


class Round(KeepsSize, frozen=True, tag="round"):
    """Round the corners: what lies outside of them becomes transparent, or is painted with the ``background``.

    ``radius`` is in pixels or per cent of the shorter side; ``rx`` and ``ry`` make elliptic corners, in pixels or per
    cent of width and height. ``circle`` keeps the largest circle in the middle instead.
    """

    radius: Annotated[Length | None, msgspec.Meta(description="pixels or per cent of the shorter side")] = None
    rx: Annotated[Length | None, msgspec.Meta(description="radius across: pixels or per cent of the width")] = None
    ry: Annotated[Length | None, msgspec.Meta(description="radius down: pixels or per cent of the height")] = None
    corners: Annotated[
        Literal["all"] | Annotated[tuple[Corner, ...], msgspec.Meta(min_length=1, max_length=len(CORNERS))],
        msgspec.Meta(description=f"the corners that are rounded: a list of {', '.join(f'`{one}`' for one in CORNERS)}"),
    ] = "all"
    circle: Annotated[bool, msgspec.Meta(description="`true`: the largest circle in the middle")] = False
    background: Annotated[
        OpaqueColor | None,
        msgspec.Meta(description="a colour that is painted over what lies outside; transparency stays as it is"),
    ] = None

    def faults(self) -> tuple[Fault, ...]:
        is_elliptic = self.rx is not None or self.ry is not None
        faults = []
        if (self.radius is not None) + is_elliptic + self.circle != 1:
            note = ("expected one of ", _RADIUS, ", both ", _RX, " and ", _RY, ", or ", _CIRCLE)
            faults.append(Fault("field_invalid", ("radius",), note))
        elif is_elliptic and None in (self.rx, self.ry):
            missing = "rx" if self.rx is None else "ry"
            faults.append(Fault("field_invalid", (missing,), ("expected both ", _RX, " and ", _RY)))
        if self.circle and self.corners != "all":
            faults.append(Fault("field_invalid", ("corners",), ("a circle has none, leave it out or use ", _RADIUS)))
        return tuple(faults)

    @property
    def rounded(self) -> frozenset[Corner]:
        return frozenset(CORNERS if self.corners == "all" else self.corners)

    def radii(self, size: Size) -> tuple[float, float]:
        """Across and down, of each rounded corner.

        Where the radii of two corners are longer than the side between them, all shrink by one factor until they fit
        (CSS Backgrounds and Borders 3, section 4.5).
        """
        width, height = size.width_px, size.height_px
        if self.radius is not None:
            rx = ry = float(pixels(self.radius, min(width, height)))
        else:
            rx, ry = float(pixels(self.rx or 0, width)), float(pixels(self.ry or 0, height))
        across = max(self._on_side("top_left", "top_right"), self._on_side("bottom_left", "bottom_right"))
        down = max(self._on_side("top_left", "bottom_left"), self._on_side("top_right", "bottom_right"))
        shrink = min(1.0, width / max(across * rx, 1e-9), height / max(down * ry, 1e-9))
        return rx * shrink, ry * shrink

    def _on_side(self, *corners: Corner) -> int:
        return len(self.rounded.intersection(corners))
