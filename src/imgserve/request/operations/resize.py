"""resize: bring a picture to a box. Its Struct and its size rule; ``worker/steps/resize.py`` carries it out."""

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, TypeVar

import msgspec

from imgserve.errors import FieldRef
from imgserve.request.color import TRANSPARENT, Color
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.geometry import Focal, Gravity, Place, Shape, SourceTooSmall, exact, ratio, rounded, scaled
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Side
from imgserve.request.operations.operation import Named

C = TypeVar("C", bool, Fraction)

Fit = Literal["cover", "contain", "fill", "inside", "outside"]
IfSmall = Literal["refuse", "keep", "keep_shape", "enlarge"]
Kernel = Literal["lanczos3", "lanczos2", "cubic", "mitchell", "linear", "nearest"]
LinearLight = Literal["auto"] | bool
_FIT = "cover cuts, contain adds space, fill stretches, inside and outside keep the shape"
_GRAVITY = (
    "the part that stays (attention: what catches the eye, entropy: detail), or the place in the box; or `center`"
)
_FOCAL = "the point that stays as near to the middle as fits"
_IF_SMALL = "the picture: refuse it, keep its pixels, keep its pixels and the shape of the box, or enlarge it"
_LINEAR = "mix light, not stored values; auto: what `render_profile` says"
Dpr = Annotated[float, msgspec.Meta(ge=0.1, le=8, description="the box is multiplied by it")]

_WIDTH, _HEIGHT = FieldRef(("width",)), FieldRef(("height",))
_BY_CONTENT = ("attention", "entropy")


class Plan(NamedTuple):
    """``whole`` is the size that the whole picture is scaled to. Then it is cut, or put into, ``size``."""

    whole: Size
    size: Size


class Resize(Named, frozen=True, tag="resize"):
    """Scale to ``width`` x ``height``, by ``fit``; with one side alone the other follows the picture.

    ``contain`` fills its space with ``background``. ``if_small`` is for a picture that would be enlarged. Enlarging
    takes ``cubic`` for all kernels but ``linear`` and ``nearest``.
    """

    exclusive = (("focal", "gravity"),)

    width: Annotated[Side | None, msgspec.Meta(description="of the box, in pixels")] = None
    height: Annotated[Side | None, msgspec.Meta(description="of the box, in pixels")] = None
    fit: Annotated[Fit, msgspec.Meta(description=_FIT)] = "cover"
    gravity: Annotated[Gravity | None, msgspec.Meta(description=_GRAVITY)] = None
    focal: Annotated[Focal | None, msgspec.Meta(description=_FOCAL)] = None
    if_small: Annotated[IfSmall, msgspec.Meta(description=_IF_SMALL)] = "keep"
    kernel: Annotated[Kernel, msgspec.Meta(description="the filter; `nearest` keeps hard pixels")] = "lanczos3"
    dpr: Dpr = 1.0
    background: Annotated[Color, msgspec.Meta(description="the space that `contain` adds")] = TRANSPARENT
    linear_light: Annotated[LinearLight, msgspec.Meta(description=_LINEAR)] = "auto"

    @property
    def place(self) -> Place:
        return self.focal or self.gravity or "center"

    def faults(self) -> tuple[Fault, ...]:
        faults = []
        if self.width is None and self.height is None:
            faults.append(_size_missing())
        if self.focal is not None and self.gravity is not None:
            note = ("contradicts ", FieldRef(("gravity",)), "; give one of the two")
            faults.append(Fault("field_invalid", ("focal",), note))
        is_cut = self.fit == "cover" and self.width is not None and self.height is not None
        if self.gravity in _BY_CONTENT and not is_cut:
            reason = f"{self.gravity} chooses the part that is kept, but nothing is cut; use "
            wanted = (FieldRef(("fit",), "cover"), " with ", _WIDTH, " and ", _HEIGHT)
            faults.append(Fault("field_invalid", ("gravity",), (reason, *wanted)))
        return tuple(faults)

    def after(self, before: Shape) -> Shape:
        """Raises RequestInvalid without a side, SourceTooSmall for a drawing without size."""
        size = self.plan(before).size
        after = before.resized(size.width_px, size.height_px)
        return msgspec.structs.replace(after, is_open=False) if self._fixes_both_sides else after

    def check(self, before: Shape) -> None:
        """Raises SourceTooSmall."""
        # An SVG has no pixels to enlarge: it is drawn at any size, as by other image servers.
        if self.if_small == "refuse" and not before.is_drawing and self._enlarges(before):
            raise SourceTooSmall(
                f"{before.name} is {before.width_px:g} x {before.height_px:g} px, smaller than the result",
                ("ask for a smaller size, or use ", FieldRef(("if_small",), "enlarge")),
            )

    # Server and worker ask for the same plan four times, and pictures of one source are often alike; it takes 4 us.
    @lru_cache(maxsize=256)  # noqa: B019 - of plain values: the method's own arguments
    def plan(self, before: Shape) -> Plan:
        """Raises as ``after`` does."""
        width, height = self._box
        if not (before.width_px > 0 and before.height_px > 0):
            return _without_size(width, height, self.fit)
        scale = self._scale(before)
        is_kept = scale > 1 and not before.is_drawing and self.if_small in ("keep", "keep_shape")
        if width is None or height is None or self.fit in ("inside", "outside"):
            size = before.size if is_kept else _scaled(before, scale)
            return Plan(size, size)
        box = Size(width, height)
        if is_kept:
            return self._unscaled(before.size, box, scale)
        return Plan(box if self.fit == "fill" else _scaled(before, scale), box)

    def whole(self, before: Shape, size: Size) -> Size:
        """As in the plan for ``size``. If the source has changed since that was promised, it covers ``size``."""
        if self.width is not None or self.height is not None:
            plan = self.plan(before)
            if plan.size == size:
                return plan.whole
        return covering(before, size)

    @property
    def _box(self) -> tuple[int | None, int | None]:
        """The sides in pixels of the device."""
        if self.dpr == 1:
            return self.width, self.height
        dpr = exact(self.dpr)
        return self.width and rounded(self.width * dpr), self.height and rounded(self.height * dpr)

    @property
    def _fixes_both_sides(self) -> bool:
        if self.width is None or self.height is None:
            return False
        if self.fit == "contain":
            return self.if_small != "keep_shape"
        return self.fit in ("cover", "fill") and self.if_small in ("enlarge", "refuse")

    def _scale(self, before: Shape) -> Fraction:
        """The scale that fit asks for. Of fill the larger one."""
        return self._chosen(ratio(side, whole) for side, whole in self._sides(before))

    def _enlarges(self, before: Shape) -> bool:
        """Whether the scale is more than 1."""
        return self._chosen(side > whole for side, whole in self._sides(before))

    def _chosen(self, of_sides: Iterable[C]) -> C:
        return min(of_sides) if self.fit in ("contain", "inside") else max(of_sides)

    def _sides(self, before: Shape) -> list[tuple[int, float]]:
        """Each side of the box beside that of the picture. Raises RequestInvalid."""
        pairs = zip(self._box, (before.width_px, before.height_px), strict=True)
        sides = [(side, whole) for side, whole in pairs if side is not None]
        if not sides:
            raise RequestInvalid(_size_missing())
        return sides

    def _unscaled(self, picture: Size, box: Size, scale: Fraction) -> Plan:
        """cover, contain and fill of a picture that stays as small as it is."""
        if self.if_small == "keep_shape":
            shaped = Size(rounded(box.width_px / scale), rounded(box.height_px / scale))
            return Plan(shaped if self.fit == "fill" else picture, shaped)
        if self.fit == "contain":
            return Plan(picture, box)
        within = Size(min(box.width_px, picture.width_px), min(box.height_px, picture.height_px))
        return Plan(within if self.fit == "fill" else picture, within)


def covering(before: Shape, size: Size) -> Size:
    """The size that covers ``size`` and keeps the shape, but for rounding."""
    return _scaled(before, max(ratio(size.width_px, before.width_px), ratio(size.height_px, before.height_px)))


def _scaled(before: Shape, scale: Fraction) -> Size:
    return Size(scaled(before.width_px, scale), scaled(before.height_px, scale))


def _without_size(width: int | None, height: int | None, fit: Fit) -> Plan:
    """A drawing without size takes that of the box. Raises RequestInvalid, SourceTooSmall."""
    if width is None and height is None:
        raise RequestInvalid(_size_missing())
    if width is None or height is None or fit in ("inside", "outside"):
        raise SourceTooSmall("the source has no size of its own", ("give both ", _WIDTH, " and ", _HEIGHT))
    return Plan(Size(width, height), Size(width, height))


def _size_missing() -> Fault:
    return Fault("size_missing", ("width",), ("resize needs ", _WIDTH, ", ", _HEIGHT, " or both"))
