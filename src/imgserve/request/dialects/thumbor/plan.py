"""The recipe of a thumbor request: crop and resize as ``geometry`` says, mirrors, then the filters as the URL has them.

thumbor's order of work: ``transformer.py``, ``handlers/__init__.py``. Called by ``dialect``; after a trim, whose size
only pixels tell, the worker calls ``operations`` again.
"""

from typing import Literal

import msgspec
from msgspec.structs import replace

from imgserve.request.dialects.dialect import Planned
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.geometry import Geometry, Trimmed, geometry, normalized
from imgserve.request.dialects.thumbor.parameters import Parameters, Side, Trimming
from imgserve.request.dialects.thumbor.refused import BadUrl
from imgserve.request.dialects.thumbor.stage import Stage, exact
from imgserve.request.encode import Encode, Format
from imgserve.request.formats import MAX_SIDE_OF_FORMAT
from imgserve.request.geometry import Shape, SourceTooSmall
from imgserve.request.imageinfo import ImageInfo, Size, SourceFormat
from imgserve.request.limits import MAX_SIDE_PX
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import DEFAULT_LOAD, MAX_OPERATIONS, LoadOptions, Operation, Recipe

_LYING = 5  # the first of EXIF's orientations that swap the sides
_MOST_DISTANCE = 442.0  # black to white: a higher tolerance leaves nothing either
# thumbor's: what Pillow cannot write, or what viewers lack, is sent as JPEG or PNG.
WRITTEN: dict[SourceFormat, Format] = {
    "jpeg": "jpeg", "png": "png", "webp": "webp", "gif": "gif", "avif": "avif", "tiff": "png", "svg": "png",
    "heic": "jpeg", "bmp": "jpeg", "ico": "jpeg",
}  # fmt: skip
_LOSSLESS_WEBP = 100
SVG_DPI = 150.0  # thumbor's own default, for absolute units


class Made(msgspec.Struct, frozen=True):
    """``size`` is the result's; ``geometry`` is for ``meta``."""

    operations: tuple[Operation, ...]
    size: Size
    geometry: Geometry
    matte: str


def plan(asked: Parameters, info: ImageInfo, config: Config) -> Planned:
    """Raises BadUrl: no picture can have this size, or there are too many filters."""
    size = start_of(asked, info, config)
    # A trim that would leave a size which nothing can have is only known later; the size here is of the whole.
    made = operations(asked, size, config, has_alpha=info.may_be_transparent)
    recipe = Recipe((), _encode(asked, info, config, made), _load(asked, info, config))
    is_contained = all(_number(side) for side in (asked.width, asked.height))
    if asked.trim is not None:
        first = drawn((), size, is_contained=is_contained) if info.is_svg else ()
        return Planned(replace(recipe, operations=first), _trim(asked.trim))
    if not info.is_svg:
        return Planned(replace(recipe, operations=made.operations))
    return Planned(replace(recipe, operations=drawn(made.operations, size, is_contained=is_contained)))


def operations(
    asked: Parameters, size: Size, config: Config, *, has_alpha: bool, trimmed: Trimmed | None = None
) -> Made:
    """``size`` is the source's, or what a trim has left of it. Raises BadUrl."""
    whole = trimmed.whole if trimmed is not None else size
    limited = normalized(whole, config.max_width, config.max_height)
    stage = Stage(size, has_alpha=has_alpha)
    scaled_from = None
    if limited != whole and trimmed is None:
        scaled_from = whole
        stage = stage.resized(limited.width_px, limited.height_px)
    plan = geometry(asked, stage.size, scaled_from, trimmed)
    stage = replace(_shaped(asked, stage, plan, config), box=plan.box)
    if not asked.is_debug:
        stage = stage.then(*[Flop()] * asked.is_flopped, *[Flip()] * asked.is_flipped)
    for one in asked.filters:
        stage = one.applied(stage)
    if len(stage.operations) > MAX_OPERATIONS:
        raise BadUrl(f"the filters need {len(stage.operations)} operations, at most {MAX_OPERATIONS} are carried out")
    return Made(stage.operations, stage.size, plan, stage.matte)


def size_of(info: ImageInfo, *, is_upright: bool) -> Size:
    """The source's, as stored unless it is turned upright. Raises BadUrl for a drawing without a size."""
    try:
        size = Shape(info.width_px, info.height_px, info.format).size
    except SourceTooSmall as error:
        raise BadUrl("the source is a drawing without a size of its own") from error
    is_turned = info.orientation >= _LYING and not is_upright
    return Size(size.height_px, size.width_px) if is_turned else size


def start_of(asked: Parameters, info: ImageInfo, config: Config) -> Size:
    """The picture's size before all else. A drawing has that of the URL; of two sides it may not fill one.

    thumbor has CairoSVG draw it so, which rounds half to even. Raises BadUrl.
    """
    size = size_of(info, is_upright=config.respect_orientation)
    if not info.is_svg:
        return size
    width, height = _number(asked.width), _number(asked.height)
    if not width and not height:
        width, height = round(info.width_px), round(info.height_px)
    elif not width:
        width = round(info.width_px * height / info.height_px)
    elif not height:
        height = round(info.height_px * width / info.width_px)
    return Size(max(1, width), max(1, height))


def _number(side: Side) -> int:
    return 0 if side == "orig" else side


def _shaped(asked: Parameters, stage: Stage, plan: Geometry, config: Config) -> Stage:
    if plan.crop is not None:
        stage = stage.cropped(plan.crop.left, plan.crop.top, plan.crop.size.width_px, plan.crop.size.height_px)
    if plan.cut is None:
        return stage.resized(plan.size.width_px, plan.size.height_px)
    has_focus = any(point.is_focal for point in plan.points)
    if asked.is_smart and config.smart == "attention" and not has_focus:
        return stage.then(_to_attention(plan.size), size=plan.size)
    stage = stage.cropped(plan.cut.left, plan.cut.top, plan.cut.size.width_px, plan.cut.size.height_px)
    return stage.resized(plan.size.width_px, plan.size.height_px)


def _trim(trim: Trimming) -> Trim:
    corner: Literal["top_left", "bottom_right"] = "top_left" if trim.corner == "top-left" else "bottom_right"
    return Trim(min(float(trim.tolerance), _MOST_DISTANCE), corner=corner, distance="euclidean")


def _to_attention(size: Size) -> Resize:
    return replace(exact(size), fit="cover", gravity="attention")


def drawn(operations: tuple[Operation, ...], size: Size, *, is_contained: bool = False) -> tuple[Operation, ...]:
    """An SVG is drawn at once at the size that a first resize would bring it to.

    ``is_contained``: it keeps its shape within ``size``.
    """
    match operations:
        case [Resize(width, height, fit="fill"), *others] if not is_contained:
            return Rasterize(width, height, fit="fill"), *others
    if max(size.width_px, size.height_px) > MAX_SIDE_PX:
        raise BadUrl(
            f"the source is a drawing of {size.width_px} x {size.height_px} px, at most {MAX_SIDE_PX} are drawn"
        )
    return Rasterize(size.width_px, size.height_px, fit="contain" if is_contained else "fill"), *operations


def _load(asked: Parameters, info: ImageInfo, config: Config) -> LoadOptions:
    """thumbor shows what it can read of a damaged file. It knows animations of GIF alone."""
    is_still = info.frames > 1 and (asked.is_cover or info.format != "gif")
    return LoadOptions(
        strict=False,
        dpi=SVG_DPI if info.is_svg else DEFAULT_LOAD.dpi,
        orient=config.respect_orientation,
        frames="first" if is_still else "auto",
    )


def output_format(asked: Parameters, info: ImageInfo, config: Config, size: Size) -> Format:
    own = WRITTEN[info.format]
    if asked.format == "heic" or asked.format == "jxl" or asked.format == "jp2":
        return own
    if asked.format is not None:
        return asked.format
    is_animated = info.format == "gif" and info.frames > 1 and not asked.is_cover
    for accepted in asked.accepted:
        is_small = max(size.width_px, size.height_px) <= MAX_SIDE_OF_FORMAT.get(accepted, MAX_SIDE_PX)
        if is_small and not is_animated:
            return accepted
    return "jpeg" if is_png_for_jpeg(asked, info, config) else own


def is_png_for_jpeg(asked: Parameters, info: ImageInfo, config: Config) -> bool:
    """Where the settings turn it on, thumbor takes a filter of any value for an exception."""
    is_on = asked.is_auto_jpg is None if config.auto_png_to_jpg else bool(asked.is_auto_jpg)
    return is_on and info.format == "png" and not info.has_alpha


def _encode(asked: Parameters, info: ImageInfo, config: Config, made: Made) -> Encode:
    written = output_format(asked, info, config, made.size)
    own = {"webp": config.webp_quality, "avif": config.avif_quality}.get(written, 0)
    quality = asked.quality or own or config.quality
    match written:
        case "jpeg":
            # Pillow's chroma, whatever the quality.
            return Encode(
                "jpeg",
                quality,
                background=made.matte,
                chroma="420",
                progressive=config.progressive_jpeg,
                max_bytes=asked.max_bytes,
            )
        case "webp" if quality == _LOSSLESS_WEBP:
            return Encode("webp", lossless=True)
        case "webp":
            return Encode("webp", quality, max_bytes=asked.max_bytes)
        case "avif":
            return Encode("avif", quality)
    return Encode(written)
