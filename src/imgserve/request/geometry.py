"""Final sizes: an operation and a source's facts in, the exact size of the result out. Pure arithmetic; no I/O.

The side that is not given follows the source's shape: given side times the ratio, rounded half up, at least 1 px.
"""

from fractions import Fraction
from math import floor

from imgserve.errors import ImgserveError
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.imageinfo import Facts, Size
from imgserve.request.limits import Limits
from imgserve.request.operations import Operation, Rasterize, Resize


class SourceTooSmall(ImgserveError):
    code = "source_too_small"
    status = 422
    title = "The source is smaller than the result"


class NotSvg(ImgserveError):
    """rasterize was asked for bytes that are a raster picture."""

    code = "not_svg"
    status = 422
    title = "The source is not an SVG"


def final_size(operation: Operation, facts: Facts, limits: Limits) -> Size:
    """The size that is promised and delivered, in pixels.

    Raises SourceTooSmall, NotSvg, or RequestInvalid: no side given, or the result exceeds the limits.
    """
    if isinstance(operation, Rasterize) and not facts.is_svg:
        raise NotSvg(f"rasterize expects an SVG, the source is {facts.format}", "use the operation resize")
    if operation.width is None and operation.height is None:
        raise RequestInvalid(Fault("size_missing", ("width",), "width, height or both are required"))
    if isinstance(operation, Resize):
        _check_source(operation, facts)
    size = _size(operation, facts)
    _check_limits(size, limits)
    return size


def _check_source(operation: Resize, facts: Facts) -> None:
    # An SVG has no pixels to run out of: it is drawn at the size asked for, as by other image servers.
    if operation.enlarge or facts.is_svg:
        return
    is_narrow = operation.width is not None and facts.width_px < operation.width
    is_low = operation.height is not None and facts.height_px < operation.height
    if is_narrow or is_low:
        raise SourceTooSmall(
            f"the source is {facts.width_px:g} x {facts.height_px:g} px, smaller than the result",
            "ask for a smaller size, or set enlarge to true",
        )


def _size(operation: Operation, facts: Facts) -> Size:
    if operation.width is not None and operation.height is not None:
        return Size(operation.width, operation.height)
    if not (facts.width_px > 0 and facts.height_px > 0):
        raise SourceTooSmall("the source has no size of its own", "give both width and height")
    shape = Fraction(facts.width_px) / Fraction(facts.height_px)
    if operation.width is not None:
        return Size(operation.width, _rounded(operation.width / shape))
    height = operation.height or 1
    return Size(_rounded(height * shape), height)


def _rounded(side_px: Fraction) -> int:
    return max(1, floor(side_px + Fraction(1, 2)))


def _check_limits(size: Size, limits: Limits) -> None:
    result = f"the result would be {size.width_px} x {size.height_px} px"
    faults = []
    if max(size.width_px, size.height_px) > limits.output_side_px:
        faults.append(Fault("result_too_large", note=f"{result}, a side may have {limits.output_side_px}"))
    if size.width_px * size.height_px > limits.output_pixels:
        faults.append(Fault("result_too_large", note=f"{result}, expected at most {limits.output_pixels} in all"))
    if faults:
        raise RequestInvalid(*faults)
