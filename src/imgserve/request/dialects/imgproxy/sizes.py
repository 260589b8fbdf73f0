"""All sizes of a picture on its way through the pipeline: parameters and the source's size in, whole pixels out.

The arithmetic is the original's, in the same order, on the same floats, so that ties and errors of floats fall alike:
version 4 and 3.31, as https://docs.imgproxy.net/usage/processing describes its options. For ``plan``.
"""

from typing import NamedTuple

import msgspec

from imgserve.request.dialects.imgproxy.parameters import Parameters
from imgserve.request.dialects.imgproxy.rounding import rounded, rounded_to_even


class Sides(NamedTuple):
    """Whole pixels. 0 stands for a side that follows from the picture."""

    width: int
    height: int

    def within(self, other: "Sides") -> "Sides":
        """The smaller of each side, if both are given."""
        return Sides(_smaller(self.width, other.width), _smaller(self.height, other.height))

    def around(self, other: "Sides") -> "Sides":
        return Sides(max(self.width, other.width), max(self.height, other.height))

    def turned(self, angle: int) -> "Sides":
        """Behind a turn by this angle."""
        return Sides(self.height, self.width) if angle % 180 else self


NOTHING = Sides(0, 0)


class Sizes(msgspec.Struct, frozen=True):
    """``crop``: what is cut out first; ``cropped``: the picture then; ``scaled``: it is resized to that; ``cut``: what
    is cut out of that; ``target``: the box of ``extend``; ``aspect``: that of ``extend_aspect_ratio``.

    ``scale``: of width and height; ``dpr``: the factor of offsets and paddings, which may be less than was asked for.
    """

    crop: Sides
    cropped: Sides
    scale: tuple[float, float]
    dpr: float
    scaled: Sides
    target: Sides
    cut: Sides
    aspect: Sides

    @property
    def result(self) -> Sides:
        """The picture behind the second cut."""
        return self.scaled.within(self.cut)


def of(picture: Parameters, whole: Sides, *, is_drawing: bool) -> Sizes:
    """``whole``: the picture once it is upright, turned and mirrored. ``is_drawing``: it can be of any size."""
    crop = _crop(picture, whole)
    cropped = crop.within(whole)
    scale, dpr = _scale(picture, cropped, is_drawing=is_drawing)
    sizes = _sizes(picture, crop, cropped, scale, dpr)
    most = picture.max_result_dimension
    side = max(_final(picture, sizes))
    if not 0 < most < side:
        return sizes
    down = most / side
    scale = (max(scale[0] * down, 1 / cropped.width), max(scale[1] * down, 1 / cropped.height))
    return _sizes(picture, crop, cropped, scale, dpr * down)


def padding(picture: Parameters, dpr: float) -> tuple[int, int, int, int]:
    """Top, right, bottom, left."""
    top, right, bottom, left = (rounded_to_even(length * dpr) for length in picture.padding)
    return top, right, bottom, left


def _crop(picture: Parameters, whole: Sides) -> Sides:
    crop = Sides(_crop_side(whole.width, picture.crop_width), _crop_side(whole.height, picture.crop_height))
    ratio = picture.crop_aspect_ratio
    if not ratio:
        return crop
    box = crop.within(whole)
    is_wider = box.width > box.height * ratio
    if is_wider != picture.crop_aspect_ratio_enlarge:
        shaped = Sides(max(1, rounded(box.height * ratio)), box.height)
    else:
        shaped = Sides(box.width, max(1, rounded(box.width / ratio)))
    return _shrunk(shaped, whole)


def _shrunk(box: Sides, whole: Sides) -> Sides:
    """The box in its shape, within the picture."""
    factor = min(1.0, whole.width / box.width, whole.height / box.height)
    return Sides(max(1, rounded(box.width * factor)), max(1, rounded(box.height * factor))) if factor < 1 else box


def _crop_side(side: int, length: float) -> int:
    if length == 0 or length >= 1:
        return int(length)
    return max(1, rounded(side * length))


def _scale(picture: Parameters, source: Sides, *, is_drawing: bool) -> tuple[tuple[float, float], float]:
    """The scale of both sides, and the factor of offsets."""
    across, down = _shrink(picture, source)
    across, down = across / picture.zoom_x, down / picture.zoom_y
    dpr = picture.dpr
    if not picture.enlarge and not is_drawing:
        least = min(across, down)
        if least < 1:
            across, down = across / least, down / least
            if not picture.extend:
                dpr /= least
        dpr = min(dpr, across, down)
    across, down = _at_least(picture, source, across, down)
    across, down = min(across / dpr, float(source.width)), min(down / dpr, float(source.height))
    return (1 / across, 1 / down), dpr


def _shrink(picture: Parameters, source: Sides) -> tuple[float, float]:
    """How many pixels become one, across and down, before zoom, dpr and limits."""
    wanted = Sides(picture.width or source.width, picture.height or source.height)
    across = 1.0 if wanted.width == source.width else source.width / wanted.width
    down = 1.0 if wanted.height == source.height else source.height / wanted.height
    kind = _resizing_type(picture, source, wanted)
    if (across, down) == (1.0, 1.0) or kind == "force":
        return across, down
    if not picture.width:
        return down, down
    if not picture.height:
        return across, across
    both = max(across, down) if kind == "fit" else min(across, down)
    return both, both


def _resizing_type(picture: Parameters, source: Sides, wanted: Sides) -> str:
    if picture.resizing_type != "auto":
        return picture.resizing_type
    is_alike = (source.width >= source.height) == (wanted.width >= wanted.height)
    return "fill" if is_alike else "fit"


def _at_least(picture: Parameters, source: Sides, across: float, down: float) -> tuple[float, float]:
    """For ``min-width`` and ``min-height``, which enlarge too."""
    if picture.min_width and (least := source.width / picture.min_width) < across:
        across, down = least, down / (across / least)
    if picture.min_height and (least := source.height / picture.min_height) < down:
        across, down = across / (down / least), least
    return across, down


def _sizes(picture: Parameters, crop: Sides, cropped: Sides, scale: tuple[float, float], dpr: float) -> Sizes:
    target = Sides(rounded(picture.width * (dpr * picture.zoom_x)), rounded(picture.height * (dpr * picture.zoom_y)))
    scaled = Sides(rounded(cropped.width * scale[0]), rounded(cropped.height * scale[1]))
    cut = _fill_down(target, scaled) if picture.resizing_type == "fill-down" and not picture.enlarge else target
    aspect = _aspect(target, scaled.within(cut)) if picture.extend_aspect_ratio else NOTHING
    return Sizes(crop, cropped, scale, dpr, scaled, target, cut, aspect)


def _fill_down(target: Sides, scaled: Sides) -> Sides:
    """The target's shape, where the picture is smaller than the target."""
    across, down = target.width / scaled.width, target.height / scaled.height
    if across > down and across > 1:
        return Sides(scaled.width, rounded(scaled.width * (target.height / target.width)))
    if down > across and down > 1:
        return Sides(rounded(scaled.height * (target.width / target.height)), scaled.height)
    return target


def _aspect(target: Sides, result: Sides) -> Sides:
    """The box of the target's shape around the picture."""
    if not target.width or not target.height:
        return NOTHING
    across, down = target.width / result.width, target.height / result.height
    if down > across:
        return Sides(result.width, rounded(result.width * (target.height / target.width)))
    if across > down:
        return Sides(rounded(result.height * (target.width / target.height)), result.height)
    return NOTHING


def _final(picture: Parameters, sizes: Sizes) -> Sides:
    """With space around it."""
    result = sizes.result
    if picture.extend:
        result = result.around(sizes.target)
    elif picture.extend_aspect_ratio:
        result = result.around(sizes.aspect)
    top, right, bottom, left = padding(picture, sizes.dpr)
    return Sides(result.width + left + right, result.height + top + bottom)


def _smaller(first: int, second: int) -> int:
    return min(first, second) if first and second else first or second
