"""thumbor's arithmetic: what is cropped, and which size follows. Pure, in its own rounding. For ``plan`` and ``meta``.

Source: thumbor 7.8, ``transformer.py``, ``engines/__init__.py``. All is computed in floats and rounded half to even, as
there, so that ties fall alike. A side that rounds to 0 is 1 here; thumbor answers 500.
"""

from math import ceil
from typing import NamedTuple

import msgspec

from imgserve.request.dialects.thumbor.parameters import Edges, Parameters, Side
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import Size
from imgserve.request.operations.crop import Crop

_ALIGNED = {"left": 0.0, "center": 0.5, "right": 1.0, "top": 0.0, "middle": 0.5, "bottom": 1.0}
# thumbor adds it to round halves up, as Python 2 did.
_UP = 1e-5


class Cropped(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> Size:
        return Size(self.right - self.left, self.bottom - self.top)


class Resized(NamedTuple):
    """As thumbor has them: some sides are floats, which ``meta`` shows."""

    width: float
    height: float

    @property
    def size(self) -> Size:
        return Size(max(1, int(self.width)), max(1, int(self.height)))


class Point(msgspec.Struct, frozen=True):
    """A focal point, and the box that it is the middle of."""

    x: int
    y: int
    weight: float
    width: int = 1
    height: int = 1
    origin: str = "alignment"

    @property
    def is_focal(self) -> bool:
        return self.origin != "alignment"


class Trimmed(msgspec.Struct, frozen=True):
    """A picture before its trim, and where the rest lay in it."""

    whole: Size
    left: int = 0
    top: int = 0


def box_of(kept: Part) -> Crop:
    """What a trim keeps, as an operation."""
    return Crop(left=kept.left, top=kept.top, width=kept.size.width_px, height=kept.size.height_px)


class Geometry(msgspec.Struct, frozen=True):
    """``crop`` is the request's own, ``cut`` the one to the target's shape. ``box``: see ``Stage``."""

    size: Size
    crop: Cropped | None = None
    cut: Cropped | None = None
    resize: Resized | None = None
    box: tuple[int, int] = (0, 0)
    points: tuple[Point, ...] = ()


def geometry(
    asked: Parameters, size: Size, scaled_from: Size | None = None, trimmed: Trimmed | None = None
) -> Geometry:
    """``scaled_from``: the source's size, where ``normalized`` has made it smaller. ``size`` is that after the trim."""
    whole = trimmed.whole if trimmed is not None else size
    crop = _manual_crop(asked.crop, size, scaled_from, whole, trimmed)
    inner = crop.size if crop is not None else size
    points = _points(asked, inner, crop)
    wanted = _Wanted(*_requested(asked, whole), inner)
    if asked.is_debug:
        return Geometry(inner, crop, box=wanted.box, points=points)
    if asked.fit:
        return _fitted(asked, wanted, Geometry(inner, crop, points=points))
    cut = None if asked.is_stretched else _auto_crop(wanted, points)
    target = Resized(wanted.width or 1, wanted.height or 1)
    within = cut.size if cut is not None else inner
    is_there = (wanted.width, wanted.height) == (within.width_px, within.height_px)
    resize = None if is_there else target
    return Geometry(resize.size if resize else within, crop, cut, resize, wanted.box, points)


def normalized(size: Size, most_width: int, most_height: int) -> Size:
    """A source that is larger than the settings allow is made smaller before all else. 0: no limit.

    thumbor compares the excess of the two sides, that of a missing limit too, so it may leave a source as it is.
    """
    width, height = size.width_px, size.height_px
    if width <= most_width and height <= most_height:
        return size
    across, down = width - most_width, height - most_height
    if most_width and across > down:
        return Size(most_width, max(1, int(_proportional(most_width, height, width))))
    if most_height and down > across:
        return Size(max(1, int(_proportional(most_height, width, height))), most_height)
    return size


class _Wanted:
    """The target's sides, missing ones computed, and the request's box; ``orig`` is a side of the cropped picture."""

    def __init__(self, width: Side, height: Side, size: Size) -> None:
        own_width, own_height = float(size.width_px), float(size.height_px)
        across = own_width if width == "orig" else float(width)
        down = own_height if height == "orig" else float(height)
        self.size, self.requested = size, (width, height)
        if not across and not down:
            across, down = own_width, own_height
        self.width = across or _proportional(down, size.width_px, size.height_px)
        self.height = down or _proportional(across, size.height_px, size.width_px)

    def swap(self) -> None:
        self.width, self.height = self.height, self.width
        self.requested = (self.requested[1], self.requested[0])

    @property
    def box(self) -> tuple[int, int]:
        width, height = self.requested
        return (
            self.size.width_px if width == "orig" else width,
            self.size.height_px if height == "orig" else height,
        )


def _requested(asked: Parameters, whole: Size) -> tuple[Side, Side]:
    """The sides of the URL; ``no_upscale`` cuts them to the source's, before the trim."""
    if not asked.is_kept_small:
        return asked.width, asked.height
    width = asked.width if asked.width == "orig" else min(asked.width, whole.width_px)
    height = asked.height if asked.height == "orig" else min(asked.height, whole.height_px)
    return width, height


def _proportional(side: float, other: int, of: int) -> float:
    return float(round(float(side) * other / of, 0))


def _manual_crop(
    crop: Edges | None, size: Size, scaled_from: Size | None, whole: Size, trimmed: Trimmed | None
) -> Cropped | None:
    """None: nothing is cropped. It counts from the corner before the trim."""
    if crop is None:
        return None
    edges = [int(edge) for edge in msgspec.structs.astuple(crop)]
    if scaled_from is not None:
        sides = [(whole.width_px, scaled_from.width_px), (whole.height_px, scaled_from.height_px)] * 2
        edges = [edge * now // before for edge, (now, before) in zip(edges, sides, strict=True)]
    offsets = (trimmed.left, trimmed.top) * 2 if trimmed is not None else (0, 0, 0, 0)
    most = (size.width_px, size.height_px) * 2
    cropped = Cropped(
        *(min(max(edge - offset, 0), side) for edge, offset, side in zip(edges, offsets, most, strict=True))
    )
    is_empty = cropped.left >= cropped.right or cropped.top >= cropped.bottom
    return None if is_empty else cropped


def _points(asked: Parameters, size: Size, crop: Cropped | None) -> tuple[Point, ...]:
    """Those of the URL that lie in the crop, else the one of the alignment."""
    points = []
    for box in asked.focals:
        width, height = int(box.right - box.left), int(box.bottom - box.top)
        x, y = int(box.left) + width // 2, int(box.top) + height // 2
        if crop is not None:
            if not (crop.left <= x <= crop.right and crop.top <= y <= crop.bottom):
                continue
            x, y = x - crop.left, y - crop.top
        points.append(Point(x, y, width * height, width, height, "Explicit"))
    if points:
        return tuple(points)
    across, down = size.width_px * _ALIGNED[asked.halign], size.height_px * _ALIGNED[asked.valign]
    return (Point(int(across), int(down), 1.0),)


def _center_of_mass(points: tuple[Point, ...]) -> tuple[float, float]:
    """Boxes whose edges are the wrong way round weigh less than nothing; if all together weigh nothing, the first."""
    weight = sum(float(point.weight) for point in points)
    if not weight:
        return points[0].x, points[0].y
    return (
        sum(point.x * float(point.weight) for point in points) // weight,
        sum(point.y * float(point.weight) for point in points) // weight,
    )


def _auto_crop(wanted: _Wanted, points: tuple[Point, ...]) -> Cropped | None:
    """To the shape of the target; none if the two ratios are equal to two digits."""
    width, height = wanted.size.width_px, wanted.size.height_px
    across, down = wanted.width or 1, wanted.height or 1
    if round(width / height, 2) == round(across / down, 2):
        return None
    if wanted.width / width > wanted.height / height:
        kept_width, kept_height = width, int(round(width * wanted.height / across, 0))
    else:
        kept_width, kept_height = ceil(wanted.width * height / down), height
    kept_width, kept_height = min(max(kept_width, 1), width), min(max(kept_height, 1), height)
    x, y = _center_of_mass(points)
    left = round(min(max(x - (kept_width / 2), 0.0), width - kept_width))
    top = round(min(max(y - (kept_height / 2), 0.0), height - kept_height))
    return Cropped(left, top, min(left + kept_width, width), min(top + kept_height, height))


def _fitted(asked: Parameters, wanted: _Wanted, before: Geometry) -> Geometry:
    width, height = wanted.size.width_px, wanted.size.height_px
    is_other_shape = (width < height and wanted.width > wanted.height) or (
        width > height and wanted.width < wanted.height
    )
    if asked.fit.startswith("adaptive") and is_other_shape:
        wanted.swap()
    is_full = "full" in asked.fit
    if not is_full and wanted.width >= width and wanted.height >= height:
        return msgspec.structs.replace(before, box=wanted.box)
    sign = -1 if is_full else 1
    across, down = wanted.width or 1.0, wanted.height or 1.0
    if width / across * sign >= height / down * sign:
        resize = Resized(across, round(height * across / width + _UP))
    else:
        resize = Resized(round(width * down / height + _UP), down)
    size = resize.size
    box = (max(wanted.box[0], size.width_px), max(wanted.box[1], size.height_px))
    return msgspec.structs.replace(before, size=size, resize=resize, box=box)
