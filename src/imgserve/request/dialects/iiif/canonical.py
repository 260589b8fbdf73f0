"""The canonical path of an image (Image API 3.0, section 4.8; 2.1, section 4.7). Pure; for ``answers``.

Equal pictures of one version have one canonical path, and it is its own.
"""

from imgserve.request.dialects.iiif.bounds import Bounds
from imgserve.request.dialects.iiif.grammar import generate_parameters
from imgserve.request.dialects.iiif.parameters import Parameters, Pixels, Region, Sides
from imgserve.request.dialects.iiif.parameters import Size as AskedSize
from imgserve.request.dialects.iiif.plan import Rendered, sides
from imgserve.request.imageinfo import Size


def canonical(parameters: Parameters, rendered: Rendered, bounds: Bounds) -> str:
    """The part of the path behind the identifier."""
    return generate_parameters(canonical_parameters(parameters, rendered, bounds))


def canonical_parameters(parameters: Parameters, rendered: Rendered, bounds: Bounds) -> Parameters:
    region = rendered.region.size
    of = _of_2 if parameters.version == 2 else _of_3
    size, may_enlarge = of(rendered.size, region, bounds)
    return Parameters(
        parameters.version,
        _region(rendered),
        size,
        may_enlarge,
        parameters.is_mirrored,
        parameters.rotation,
        parameters.quality,
        parameters.format,
    )


def _region(rendered: Rendered) -> Region:
    left, top, size = rendered.region
    return "full" if size == rendered.whole else Pixels(left, top, size.width_px, size.height_px)


def _of_3(size: Size, region: Size, bounds: Bounds) -> tuple[AskedSize, bool]:
    if size == bounds.reduced(region):
        return "max", False
    if size == bounds.largest(region):
        return "max", True
    is_enlarged = size.width_px > region.width_px or size.height_px > region.height_px
    return Sides(size.width_px, size.height_px), is_enlarged


def _of_2(size: Size, region: Size, _bounds: Bounds) -> tuple[AskedSize, bool]:
    if size == region:
        return "full", False
    keeps_shape = size == sides(size.width_px, None, region, least=1)
    return Sides(size.width_px, None if keeps_shape else size.height_px), False
