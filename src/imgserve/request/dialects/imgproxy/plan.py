"""The recipe of a picture in absolute pixels: parameters and the source's header in. Pure; for ``dialect``.

The order of the steps is the original's, whatever that of the URL. A step that changes nothing is left out, so that
equal pictures have equal recipes.
"""

import msgspec

from imgserve.request.dialects.dialect import Planned
from imgserve.request.dialects.imgproxy import mark, output, sizes, stage, steps
from imgserve.request.dialects.imgproxy.parameters import Parameters
from imgserve.request.dialects.imgproxy.refused import PictureRefused
from imgserve.request.dialects.imgproxy.sizes import Sides, Sizes
from imgserve.request.dialects.imgproxy.stage import Stage
from imgserve.request.encode import Format
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import DEFAULT_LOAD, LoadOptions, Operation, Recipe

_LEVELS = 255.0
_MATTE = "#ff00ff"  # what the original lays a picture on before it looks for its borders


def plan(parameters: Parameters, info: ImageInfo) -> Planned:
    """Raises ImgproxyRefused."""
    if output.is_source(parameters, info):
        _check_pixels(parameters, info, frames=1)
        return Planned(Recipe(()), is_source=True)
    output_format = output.chosen(parameters, info)
    frames = output.frames(parameters, info, output_format)
    _check_pixels(parameters, info, frames)
    # The original does not trim animations.
    if parameters.trim is not None and frames == 1:
        load = output.load(parameters, info, output_format, is_trimmed=True)
        return Planned(Recipe((), output.encode(parameters, output_format), load), _trim(parameters, info))
    load = output.load(parameters, info, output_format, is_trimmed=False)
    return Planned(_recipe(parameters, stage.of(parameters, info, is_upright=True), output_format, load))


def trimmed(parameters: Parameters, info: ImageInfo, part: Part) -> Planned:
    """The whole recipe, once it is known what the trim keeps: a part of the picture as it is stored.

    Raises ImgproxyRefused.
    """
    output_format = output.chosen(parameters, info)
    load = output.load(parameters, info, output_format, is_trimmed=True)
    recipe = _recipe(parameters, _trimmed(parameters, info, part.size), output_format, load)
    operations = (*steps.kept(stage.of(parameters, info, is_upright=False), part), *recipe.operations)
    return Planned(msgspec.structs.replace(recipe, operations=operations))


def operations(parameters: Parameters, size: Size, info: ImageInfo) -> tuple[Operation, ...]:
    """Those behind a trim, which left ``size`` of the picture as it is stored. Raises ImgproxyRefused."""
    output_format = output.chosen(parameters, info)
    return _recipe(parameters, _trimmed(parameters, info, size), output_format, DEFAULT_LOAD).operations


def _trimmed(parameters: Parameters, info: ImageInfo, size: Size) -> Stage:
    """What the trim left: pixels, also of a drawing, and before all turns."""
    picture = stage.of(parameters, info, is_upright=False)
    return msgspec.structs.replace(picture, stored=Sides(size.width_px, size.height_px), is_drawing=False)


def _recipe(parameters: Parameters, picture: Stage, output_format: Format, load: LoadOptions) -> Recipe:
    numbers = _sizes(parameters, picture)
    output_format = output.fitting(
        output_format,
        steps.canvas(parameters, numbers).sides,
        is_transparent=steps.is_transparent(parameters, picture, numbers),
    )
    operations = _operations(parameters, picture, numbers, output_format)
    return Recipe(operations, output.encode(parameters, output_format), load)


def _sizes(parameters: Parameters, picture: Stage) -> Sizes:
    return sizes.of(parameters, picture.whole, is_drawing=picture.is_drawing)


def _operations(parameters: Parameters, picture: Stage, numbers: Sizes, output_format: Format) -> tuple[Operation, ...]:
    return (
        *steps.opened(parameters, picture, numbers),
        *picture.remaining.operations(),
        *steps.cut(parameters, numbers),
        *steps.filtered(parameters, numbers),
        *steps.extended(parameters, numbers, output_format),
        *steps.shrunk(parameters, numbers, output_format),
        *steps.flattened(parameters, picture, output_format),
        *mark.drawn(parameters, steps.final(parameters, numbers, output_format), numbers.dpr),
    )


def _trim(parameters: Parameters, info: ImageInfo) -> Trim:
    return Trim(
        threshold=min(max(parameters.trim or 0.0, 0.0), _LEVELS),
        background=parameters.trim_color or "corner",
        even_x=parameters.trim_equal_hor,
        even_y=parameters.trim_equal_ver,
        matte=_MATTE if info.may_be_transparent else None,
        median=True,
    )


def _check_pixels(parameters: Parameters, info: ImageInfo, frames: int) -> None:
    """A drawing has as many as it is drawn with."""
    if info.is_svg:
        return
    pixels = info.width_px * info.height_px
    if frames > 1 and parameters.max_frame_pixels:
        if pixels > parameters.max_frame_pixels:
            raise PictureRefused("a frame of the source has more pixels than max_animation_frame_resolution")
    elif parameters.max_source_pixels and pixels * frames > parameters.max_source_pixels:
        raise PictureRefused("the source has more pixels than max_src_resolution")
