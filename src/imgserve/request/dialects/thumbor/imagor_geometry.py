"""imagor's arithmetic: what is cropped, and how the rest is brought to the size. Pure. For ``imagor_plan``.

Source: imagor, ``vipsprocessor/process.go``. It leaves the sizes to libvips' thumbnail, whose rule is that of our
resize: one scale for both sides, each rounded half up.
"""

from math import ceil, floor

import msgspec
from msgspec.structs import replace

from imgserve.request.dialects.thumbor.geometry import Trimmed
from imgserve.request.dialects.thumbor.parameters import Edges, Imagor, Parameters
from imgserve.request.dialects.thumbor.refused import SizeTooLarge
from imgserve.request.dialects.thumbor.stage import Stage, exact
from imgserve.request.geometry import Compass, Focal, Shape
from imgserve.request.imageinfo import Size
from imgserve.request.operations.resize import Resize

MAX_SIDE = 9999
_COMPASS: dict[tuple[str, str], Compass] = {
    ("left", "top"): "northwest", ("center", "top"): "north", ("right", "top"): "northeast",
    ("left", "middle"): "west", ("center", "middle"): "center", ("right", "middle"): "east",
    ("left", "bottom"): "southwest", ("center", "bottom"): "south", ("right", "bottom"): "southeast",
}  # fmt: skip


class Box(msgspec.Struct, frozen=True):
    left: int
    top: int
    width: int
    height: int


def crop_of(crop: Edges | None, size: Size, trimmed: Trimmed | None) -> Box | None:
    """Within the picture. None: nothing is cropped. It counts from the corner before the trim.

    Numbers of at most 1 are shares of the sides. The last row and the last column are never part of it.
    """
    if crop is None:
        return None
    whole = trimmed.whole if trimmed is not None else size
    left, top, right, bottom = msgspec.structs.astuple(crop)
    if _is_of_shares(crop):
        left, top, right, bottom = (_half_up(edge) for edge in msgspec.structs.astuple(_in_pixels(crop, whole)))
    right = min(right or whole.width_px, whole.width_px - 1)
    bottom = min(bottom or whole.height_px, whole.height_px - 1)
    if right <= left or bottom <= top:
        return None
    offset_x, offset_y = (trimmed.left, trimmed.top) if trimmed is not None else (0, 0)
    first_x, first_y = max(int(left) - offset_x, 0), max(int(top) - offset_y, 0)
    last_x = min(int(left) + int(right - left) - offset_x, size.width_px)
    last_y = min(int(top) + int(bottom - top) - offset_y, size.height_px)
    if last_x <= first_x or last_y <= first_y:
        return None
    return Box(first_x, first_y, last_x - first_x, last_y - first_y)


def shaped(asked: Parameters, stage: Stage, focal: Focal | None) -> Stage:
    """Brought to the size, with the box that ``fill`` has. Raises SizeTooLarge."""
    width, height, own = int(asked.width or 0), int(asked.height or 0), stage.size
    if max(width, height) > MAX_SIDE:
        raise SizeTooLarge(f"{width} x {height} px is asked for, at most {MAX_SIDE} are offered")
    is_other_shape = (own.width_px > own.height_px) != (width > height)
    if asked.fit.startswith("adaptive") and width and height and is_other_shape:
        width, height = height, width
    imagor = asked.imagor or Imagor()
    is_full = "full" in asked.fit
    is_enlarged = (not asked.fit or is_full) if imagor.is_enlarged is None else imagor.is_enlarged
    if _is_sized_on_load(asked):
        stage = _on_load(asked, stage, width, height, is_enlarged=is_enlarged)
        return replace(stage, box=_box(width, height, stage.size, is_enlarged=is_enlarged))
    stage = replace(stage, box=_box(width, height, own, is_enlarged=is_enlarged))
    if asked.fit:
        return _fitted(stage, _covering(stage.box, own) if is_full else stage.box, is_enlarged=is_enlarged)
    if asked.is_stretched:
        is_smaller = stage.box[0] < own.width_px and stage.box[1] < own.height_px
        return stage.resized(*stage.box) if is_enlarged or is_smaller else stage
    return _covered(asked, stage, stage.box, focal, is_enlarged=is_enlarged)


def _is_sized_on_load(asked: Parameters) -> bool:
    """Whether libvips brings the source to the size while it loads it, by a slightly different rule."""
    is_stretched_by_one = asked.is_stretched and not asked.fit and not (asked.width and asked.height)
    needs_whole = asked.trim or asked.crop or asked.focals or asked.is_flipped or asked.max_bytes or is_stretched_by_one
    is_turned = asked.imagor is not None and asked.imagor.orient
    is_special = asked.fit not in ("", "fit-in")
    return not (needs_whole or is_turned or is_special or any(one.needs_whole for one in asked.filters))


def _on_load(asked: Parameters, stage: Stage, width: int, height: int, *, is_enlarged: bool) -> Stage:
    if not width and not height:
        return stage
    if asked.fit or not width or not height:
        return _fitted(stage, (width or MAX_SIDE, height or MAX_SIDE), is_enlarged=is_enlarged)
    if asked.is_stretched:
        return stage.resized(width, height)
    return _covered(asked, stage, (width, height), None, is_enlarged=is_enlarged)


def focal_of(asked: Parameters, whole: Size, cropped: Size, left: int, top: int) -> Focal | None:
    """The mean of the boxes' middles, by their areas, as a share of the cropped picture's sides."""
    boxes = [_focal_box(box, whole) for box in asked.focals]
    weight = sum(_area(box) for box in boxes)
    if not weight:
        return None
    x = sum((box.left + box.right) / 2 * _area(box) for box in boxes) / weight
    y = sum((box.top + box.bottom) / 2 * _area(box) for box in boxes) / weight
    return Focal(_share(x - left, cropped.width_px), _share(y - top, cropped.height_px))


def _fitted(stage: Stage, box: tuple[int, int], *, is_enlarged: bool) -> Stage:
    resize = Resize(*box, fit="inside", if_small="enlarge" if is_enlarged else "keep")
    size = resize.after(Shape(stage.size.width_px, stage.size.height_px)).size
    return stage.resized(size.width_px, size.height_px)


def _covering(box: tuple[int, int], own: Size) -> tuple[int, int]:
    """The box grown to the picture's shape, rounded up."""
    (width, height), aspect = box, own.width_px / own.height_px
    return (width, ceil(width / aspect)) if aspect < width / height else (ceil(height * aspect), height)


def _covered(asked: Parameters, stage: Stage, box: tuple[int, int], focal: Focal | None, *, is_enlarged: bool) -> Stage:
    resize = replace(
        exact(Size(*box)),
        fit="cover",
        if_small="enlarge" if is_enlarged else "keep",
        gravity=_COMPASS[asked.halign, asked.valign] if focal is None else None,
        focal=focal,
    )
    if asked.is_smart and focal is None:
        resize = replace(resize, gravity="attention")
    plan = resize.plan(Shape(stage.size.width_px, stage.size.height_px))
    if plan.whole == plan.size:
        return stage.resized(plan.size.width_px, plan.size.height_px)
    return stage.then(resize, size=plan.size)


def _box(width: int, height: int, own: Size, *, is_enlarged: bool) -> tuple[int, int]:
    """A missing side follows from the other one, rounded down, at least 1."""
    if not width and not height:
        return own.width_px, own.height_px
    if not width:
        across = max(own.width_px * height // own.height_px, 1)
        return (across if is_enlarged else min(across, own.width_px)), height
    if not height:
        down = max(own.height_px * width // own.width_px, 1)
        return width, (down if is_enlarged else min(down, own.height_px))
    return width, height


def _is_of_shares(edges: Edges) -> bool:
    return edges.left < 1 and edges.top < 1 and edges.right <= 1 and edges.bottom <= 1


def _in_pixels(edges: Edges, size: Size) -> Edges:
    if not _is_of_shares(edges):
        return edges
    width, height = size.width_px, size.height_px
    return Edges(edges.left * width, edges.top * height, edges.right * width, edges.bottom * height)


def _focal_box(edges: Edges, size: Size) -> Edges:
    """A point, which has no size, counts as a pixel."""
    box = _in_pixels(edges, size)
    return (
        Edges(box.left, box.top, box.left + 1, box.top + 1) if (box.left, box.top) == (box.right, box.bottom) else box
    )


def _half_up(number: float) -> float:
    return float(floor(number + 0.5))


def _area(box: Edges) -> float:
    return max((box.right - box.left) * (box.bottom - box.top), 0.0)


def _share(distance: float, side_px: int) -> float:
    return min(max(distance / side_px, 0.0), 1.0)
