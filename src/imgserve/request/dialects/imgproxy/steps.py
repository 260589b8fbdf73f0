"""The steps of the pipeline, each from parameters and sizes to operations. For ``plan``, which has their order."""

from typing import NamedTuple

from imgserve.request.color import TRANSPARENT
from imgserve.request.dialects.imgproxy import output, place, sizes
from imgserve.request.dialects.imgproxy.parameters import Parameters
from imgserve.request.dialects.imgproxy.refused import PictureRefused
from imgserve.request.dialects.imgproxy.rounding import rounded
from imgserve.request.dialects.imgproxy.sizes import Sides, Sizes
from imgserve.request.dialects.imgproxy.stage import Stage
from imgserve.request.dialects.imgproxy.turn import Box
from imgserve.request.encode import Format
from imgserve.request.formats import MAX_SIDE_OF_FORMAT
from imgserve.request.geometry import Part
from imgserve.request.limits import MAX_SIDE_PX
from imgserve.request.operations.blur import MAX_SIGMA, Blur
from imgserve.request.operations.contrast import Contrast
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.linear import Linear
from imgserve.request.operations.modulate import Modulate
from imgserve.request.operations.pixelate import Pixelate
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.sharpen import Sharpen
from imgserve.request.recipe import Operation

Steps = tuple[Operation, ...]

_WHITE = "#ffffff"
_LEAST_SIGMA, _MOST_SHARPEN, _MOST_PIXELATE = 0.3, 10.0, 512  # of the operations; below it nothing changes


class Canvas(NamedTuple):
    """A box with the picture in it: the picture's corner, and the box's size."""

    left: int
    top: int
    sides: Sides


def kept(stage: Stage, part: Part) -> Steps:
    """What a trim keeps of the source; a drawing was drawn at its own size for it."""
    whole = stage.start
    size = Sides(part.size.width_px, part.size.height_px)
    first: Steps = ()
    if stage.is_drawing:
        first = (Rasterize(width=_side(whole.width), height=_side(whole.height), fit="fill"),)
    return first if size == whole else (*first, _crop(Box(part.left, part.top, *size)))


def opened(picture: Parameters, stage: Stage, numbers: Sizes) -> Steps:
    """The first cut and the resize. Raises PictureRefused, as all steps do, for more pixels than a side may have."""
    scaled = numbers.scaled.turned(stage.remaining.angle)
    if stage.is_drawing:
        return _drawn(picture, stage, numbers, scaled)
    cropped = numbers.cropped.turned(stage.remaining.angle)
    cut = _first_cut(picture, stage, numbers)
    return (*cut, *_resized(picture, cropped, scaled))


def cut(picture: Parameters, numbers: Sizes) -> Steps:
    """To the result."""
    if numbers.result == numbers.scaled:
        return ()
    if picture.gravity.type == "sm":
        return (_attention(numbers.result),)
    at, inner, outer = place.of(picture.gravity), numbers.result, numbers.scaled
    left = at.x.begin(outer.width, inner.width, numbers.dpr)
    top = at.y.begin(outer.height, inner.height, numbers.dpr)
    return (_crop(Box(left, top, *inner)),)


def filtered(picture: Parameters, numbers: Sizes) -> Steps:
    """A sigma below the least one changes nothing."""
    steps: list[Operation] = []
    if picture.brightness:
        steps.append(Linear(add=float(picture.brightness)))
    if picture.contrast != 1:
        steps.append(Contrast(picture.contrast))
    if picture.saturation != 1:
        steps.append(Modulate(saturation=picture.saturation))
    if picture.blur >= _LEAST_SIGMA:
        steps.append(Blur(min(picture.blur, float(MAX_SIGMA))))
    if picture.sharpen >= _LEAST_SIGMA:
        # The strengths are libvips' own defaults.
        steps.append(Sharpen(min(picture.sharpen, _MOST_SHARPEN), flat=0.0, jagged=3.0))
    size = min(picture.pixelate, max(numbers.result), _MOST_PIXELATE)
    if size > 1:
        steps.append(Pixelate(size, mirror=True))
    return tuple(steps)


def canvas(picture: Parameters, numbers: Sizes) -> Canvas:
    """The result with the space around it: one box for extend, extend_aspect_ratio and padding."""
    result = Canvas(0, 0, numbers.result)
    if picture.extend:
        result = _within(result, numbers.target, place.of(picture.extend_gravity), numbers.dpr)
    if picture.extend_aspect_ratio:
        result = _within(result, numbers.aspect, place.of(picture.extend_aspect_ratio_gravity), numbers.dpr)
    top, right, bottom, left = sizes.padding(picture, numbers.dpr)
    sides = Sides(result.sides.width + left + right, result.sides.height + top + bottom)
    return Canvas(result.left + left, result.top + top, sides)


def extended(picture: Parameters, numbers: Sizes, output_format: Format) -> Steps:
    left, top, sides = canvas(picture, numbers)
    if sides == numbers.result:
        return ()
    color = picture.background or (TRANSPARENT if output.has_alpha(output_format) else _WHITE)
    width, height = _side(sides.width), _side(sides.height)
    return (Extend(left=left, top=top, width=width, height=height, background=color),)


def final(picture: Parameters, numbers: Sizes, output_format: Format) -> Sides:
    """The result's size: it shrinks in whole to what its format can hold."""
    sides = canvas(picture, numbers).sides
    most = MAX_SIDE_OF_FORMAT.get(output_format)
    if most is None or max(sides) <= most:
        return sides
    scale = 1 / (max(sides) / most)
    return Sides(max(1, rounded(sides.width * scale)), max(1, rounded(sides.height * scale)))


def shrunk(picture: Parameters, numbers: Sizes, output_format: Format) -> Steps:
    return _resized(picture, canvas(picture, numbers).sides, final(picture, numbers, output_format))


def is_transparent(picture: Parameters, stage: Stage, numbers: Sizes) -> bool:
    """Whether the result has transparency, if its format can hold it."""
    return not picture.background and (stage.has_alpha or canvas(picture, numbers).sides != numbers.result)


def flattened(picture: Parameters, stage: Stage, output_format: Format) -> Steps:
    """The encoder itself lays what is transparent on white."""
    if not stage.has_alpha:
        return ()
    if picture.background:
        return (Flatten(picture.background),)
    is_drawn_on = bool(picture.watermark.opacity) and not output.has_alpha(output_format)
    return (Flatten(_WHITE),) if is_drawn_on else ()


def _drawn(picture: Parameters, stage: Stage, numbers: Sizes, scaled: Sides) -> Steps:
    """A drawing is drawn at its final scale; what is cut out of it is cut then."""
    scale = numbers.scale if stage.remaining.angle % 180 == 0 else numbers.scale[::-1]
    if numbers.cropped == stage.whole:
        return (Rasterize(width=_side(scaled.width), height=_side(scaled.height), fit="fill"),)
    start = stage.start
    whole = Sides(max(1, rounded(start.width * scale[0])), max(1, rounded(start.height * scale[1])))
    rasterize = Rasterize(width=_side(whole.width), height=_side(whole.height), fit="fill")
    if scaled == whole:
        return (rasterize,)
    gravity = picture.crop_gravity or picture.gravity
    if gravity.type == "sm":
        return (rasterize, _attention(scaled))
    box = _first_box(picture, stage, numbers)
    left = min(rounded(box.left * scale[0]), whole.width - scaled.width)
    top = min(rounded(box.top * scale[1]), whole.height - scaled.height)
    return (rasterize, _crop(Box(left, top, *scaled)))


def _first_cut(picture: Parameters, stage: Stage, numbers: Sizes) -> Steps:
    if numbers.cropped == stage.whole:
        return ()
    gravity = picture.crop_gravity or picture.gravity
    if gravity.type == "sm":
        return (_attention(numbers.cropped.turned(stage.remaining.angle)),)
    return (_crop(_first_box(picture, stage, numbers)),)


def _first_box(picture: Parameters, stage: Stage, numbers: Sizes) -> Box:
    """What is cut out first. Its place is computed in the stored picture, and offsets know no dpr there."""
    at = stage.in_file(picture, picture.crop_gravity or picture.gravity)
    inner = numbers.cropped.turned(stage.exif.angle + picture.rotate)
    left = at.x.begin(stage.stored.width, inner.width, 1.0)
    top = at.y.begin(stage.stored.height, inner.height, 1.0)
    box = Box(left, top, *inner)
    return stage.exif.box(box, stage.stored) if stage.is_upright else box


def _resized(picture: Parameters, before: Sides, after: Sides) -> Steps:
    if before == after:
        return ()
    width, height = _side(after.width), _side(after.height)
    return (Resize(width, height, fit="fill", if_small="enlarge", kernel=picture.kernel),)


def _within(inner: Canvas, box: Sides, at: place.Place, dpr: float) -> Canvas:
    """The canvas in a box that is larger on a side. A side that is not given stays."""
    outer = inner.sides.around(box)
    left = at.x.begin(outer.width, inner.sides.width, dpr)
    top = at.y.begin(outer.height, inner.sides.height, dpr)
    return Canvas(inner.left + left, inner.top + top, outer)


def _crop(box: Box) -> Crop:
    return Crop(left=box.left, top=box.top, width=box.width, height=box.height)


def _attention(sides: Sides) -> Crop:
    return Crop(width=sides.width, height=sides.height, gravity="attention")


def _side(length: int) -> int:
    if length > MAX_SIDE_PX:
        raise PictureRefused(f"a side would have {length} pixels, {MAX_SIDE_PX} at most are offered")
    return length
