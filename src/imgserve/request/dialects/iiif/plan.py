"""The recipe of an IIIF request for a source whose header is known, in absolute pixels. Pure.

Region, size, mirror, rotation, quality: always in this order (Image API 3.0, section 4.6). ``Rendered`` is what
``canonical`` needs too.
"""

from fractions import Fraction
from typing import NamedTuple

from imgserve.request.color import TRANSPARENT
from imgserve.request.dialects.dialect import Planned
from imgserve.request.dialects.iiif.bounds import Bounds
from imgserve.request.dialects.iiif.numbers import rounded
from imgserve.request.dialects.iiif.parameters import Box, Parameters, Percents, Pixels, Region, Scale, Sides
from imgserve.request.dialects.iiif.refused import BadRequest
from imgserve.request.encode import Encode
from imgserve.request.geometry import Part, Shape, exact
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.threshold import Threshold
from imgserve.request.recipe import LoadOptions, Operation, Recipe

_WHITE = "#ffffff"
_HUNDRED = 100
# Black and white part here (0 to 255).
_MIDDLE = 128
# An image of IIIF is a still: of an animation it is the first frame, in formats with frames too.
_LOAD = LoadOptions(frames="first")


class Rendered(NamedTuple):
    """``whole``: the picture's size; ``size``: the region's behind its scaling, before the rotation."""

    whole: Size
    region: Part
    size: Size


def plan(parameters: Parameters, info: ImageInfo, bounds: Bounds, *, upscales: bool) -> Planned:
    """``upscales``: the mount offers sizes above the region's. Raises BadRequest, NotOffered, SourceTooSmall."""
    rendered = render(parameters, whole_of(info), bounds, upscales=upscales)
    changes = operations(parameters, rendered, is_svg=info.is_svg, has_alpha=info.may_be_transparent)
    return Planned(Recipe(changes, Encode(format=parameters.format), _LOAD))


def whole_of(info: ImageInfo) -> Size:
    """The size that ``info.json`` tells. Raises SourceTooSmall for an SVG without size."""
    return Shape(info.width_px, info.height_px, info.format).size


def render(parameters: Parameters, whole: Size, bounds: Bounds, *, upscales: bool) -> Rendered:
    """Raises BadRequest."""
    region = region_of(parameters.region, whole)
    return Rendered(whole, region, size_of(parameters, region.size, bounds, upscales=upscales))


def region_of(region: Region, whole: Size) -> Part:
    """The part within the picture. Raises BadRequest: it lies outside, or is less than a pixel wide or high."""
    width, height = whole.width_px, whole.height_px
    match region:
        case "full":
            return Part(0, 0, whole)
        case "square":
            side = min(width, height)
            return Part((width - side) // 2, (height - side) // 2, Size(side, side))
        case Pixels(left, top, across, down):
            pass
        case Percents(x, y, w, h):
            left, across = _share(x, width), _share(w, width)
            top, down = _share(y, height), _share(h, height)
    size = Size(min(across, width - left), min(down, height - top))
    if size.width_px < 1 or size.height_px < 1:
        raise BadRequest(f"expected a region within {width} x {height} px, and of one pixel at least")
    return Part(left, top, size)


def size_of(parameters: Parameters, region: Size, bounds: Bounds, *, upscales: bool) -> Size:
    """The size that the region is scaled to. Raises BadRequest: below a pixel, above limits, or above the region."""
    may_enlarge = upscales if parameters.version == 2 else parameters.may_enlarge
    match parameters.size:
        case "max":
            return bounds.largest(region) if parameters.may_enlarge else bounds.reduced(region)
        case "full":
            size = region
        case Sides(width, height):
            size = sides(width, height, region, least=1 if parameters.version == 2 else 0)
        case Box() as box:
            size = _within(box, region, bounds, may_enlarge=may_enlarge, version=parameters.version)
        case Scale(percent):
            if percent > _HUNDRED and not may_enlarge:
                raise BadRequest("expected at most 100 per cent, or ^ before it, where the server enlarges")
            size = Size(_share(percent, region.width_px), _share(percent, region.height_px))
    _check(size, region, bounds, may_enlarge=may_enlarge)
    return size


def operations(parameters: Parameters, rendered: Rendered, *, is_svg: bool, has_alpha: bool) -> tuple[Operation, ...]:
    """None where nothing changes."""
    whole, region, size = rendered
    changes: list[Operation] = []
    now = region.size
    if is_svg:
        # All of a drawing is drawn at the size of the result.
        drawn = size if region.size == whole else whole
        changes.append(Rasterize(drawn.width_px, drawn.height_px, fit="fill"))
        now = size if region.size == whole else now
    if region.size != whole:
        changes.append(_crop(region))
    if size != now:
        changes.append(Resize(size.width_px, size.height_px, fit="fill", if_small="enlarge"))
    if parameters.is_mirrored:
        changes.append(Flop())
    is_opaque = parameters.format == "jpeg"
    if parameters.rotation:
        changes.append(Rotate(parameters.rotation, _WHITE if is_opaque else TRANSPARENT))
    if parameters.quality == "gray":
        changes.append(Grayscale())
    if parameters.quality == "bitonal":
        if is_opaque and has_alpha:  # or half transparent pixels would become grey again
            changes.append(Flatten())
        changes.append(Threshold(_MIDDLE))
    return tuple(changes)


def _share(percent: float, side_px: int) -> int:
    return rounded(exact(percent) * side_px / _HUNDRED)


def sides(width: int | None, height: int | None, region: Size, *, least: int) -> Size:
    """One side or both. ``least``: of one that follows the shape; 2.1 asks for thin tiles by their width alone."""
    if width is not None and height is not None:
        return Size(width, height)
    if width is not None:
        return Size(width, max(least, rounded(Fraction(region.height_px * width, region.width_px))))
    assert height is not None
    return Size(max(least, rounded(Fraction(region.width_px * height, region.height_px))), height)


def _within(box: Box, region: Size, bounds: Bounds, *, may_enlarge: bool, version: int) -> Size:
    """Raises BadRequest."""
    if not may_enlarge and box.width > region.width_px and box.height > region.height_px:
        # The text of 3.0 would have the region as it is, but the validator of its authors wants an error.
        if version == 2:
            return bounds.reduced(region)
        raise BadRequest("expected a box that the region fills, or ^ before it")
    is_wide = box.width * region.height_px <= box.height * region.width_px  # the width is the tighter one
    size = sides(box.width, None, region, least=0) if is_wide else sides(None, box.height, region, least=0)
    if bounds.admits(size):
        return size
    most = bounds.largest(region)
    return Size(min(size.width_px, most.width_px), min(size.height_px, most.height_px))


def _check(size: Size, region: Size, bounds: Bounds, *, may_enlarge: bool) -> None:
    """Raises BadRequest."""
    if size.width_px < 1 or size.height_px < 1:
        raise BadRequest("expected a size of one pixel a side at least")
    if not may_enlarge and (size.width_px > region.width_px or size.height_px > region.height_px):
        raise BadRequest("expected a size within that of the region, or ^ before it, where the server enlarges")
    if not bounds.admits(size):
        limits = f"{bounds.width_px} x {bounds.height_px} px and {bounds.area_px} pixels"
        raise BadRequest(f"expected a size of at most {limits}, got {size.width_px} x {size.height_px}")


def _crop(region: Part) -> Crop:
    return Crop(region.left, region.top, region.size.width_px, region.size.height_px)
