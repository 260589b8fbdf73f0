"""The recipe of an imagor request, in imagor's order: orient, trim, crop, resize, mirrors, then the filters.

Called by ``imagor_dialect``; after a trim, whose size only pixels tell, the worker calls ``operations`` again.
"""

import msgspec
from msgspec.structs import replace

from imgserve.request.dialects.dialect import Planned
from imgserve.request.dialects.thumbor import plan
from imgserve.request.dialects.thumbor.canvas import turned
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.geometry import Trimmed
from imgserve.request.dialects.thumbor.imagor_canvas import trim
from imgserve.request.dialects.thumbor.imagor_geometry import crop_of, focal_of, shaped
from imgserve.request.dialects.thumbor.parameters import Imagor, Parameters
from imgserve.request.dialects.thumbor.refused import BadUrl, FormatUnknown
from imgserve.request.dialects.thumbor.stage import Stage
from imgserve.request.encode import BIT_DEPTHS, FORMATS_WITH, Encode, Format
from imgserve.request.formats import ANIMATED
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.recipe import DEFAULT_LOAD, MAX_OPERATIONS, LoadOptions, Operation, Recipe

_PALETTE = 256


class Made(msgspec.Struct, frozen=True):
    operations: tuple[Operation, ...]
    size: Size


def planned(asked: Parameters, info: ImageInfo, config: Config) -> Planned:
    """Raises BadUrl, SizeTooLarge, FormatUnknown."""
    imagor = asked.imagor or Imagor()
    if imagor.is_raw:
        return Planned(Recipe(()), is_source=True)
    size = plan.size_of(info, is_upright=True)
    written = output_format(asked, info)
    is_animated = has_frames(asked, info) and written in ANIMATED
    made = operations(asked, size, has_alpha=info.may_be_transparent, is_animated=is_animated)
    recipe = Recipe((), _encode(asked, written, config), _load(imagor, info))
    if asked.trim is not None and not is_animated:
        return Planned(recipe, trim(float(asked.trim.tolerance), asked.trim.corner))
    return Planned(replace(recipe, operations=plan.drawn(made.operations, size) if info.is_svg else made.operations))


def operations(
    asked: Parameters, size: Size, *, has_alpha: bool, is_animated: bool = False, trimmed: Trimmed | None = None
) -> Made:
    """``size`` is the source's, or what a trim has left of it. Raises BadUrl, SizeTooLarge."""
    imagor = asked.imagor or Imagor()
    padding = imagor.padding
    stage = turned(Stage(size, has_alpha=has_alpha, is_animated=is_animated), imagor.orient)
    whole = trimmed.whole if trimmed is not None else stage.size
    crop = crop_of(asked.crop, stage.size, trimmed)
    left, top = (trimmed.left, trimmed.top) if trimmed is not None else (0, 0)
    if crop is not None:
        stage = stage.cropped(crop.left, crop.top, crop.width, crop.height)
        left, top = left + crop.left, top + crop.top
    stage = shaped(asked, stage, focal_of(asked, whole, stage.size, left, top))
    stage = stage.then(*[Flop()] * asked.is_flopped, *[Flip()] * asked.is_flipped)
    stage = replace(stage, padding=(padding.left, padding.top, padding.right, padding.bottom))
    for one in asked.filters:
        stage = one.applied(stage)
    if len(stage.operations) > MAX_OPERATIONS:
        raise BadUrl(f"the filters need {len(stage.operations)} operations, at most {MAX_OPERATIONS} are carried out")
    return Made(stage.operations, stage.size)


def output_format(asked: Parameters, info: ImageInfo) -> Format:
    """An animation stays one: of the formats that the client accepts only WebP holds frames. Raises FormatUnknown."""
    if asked.format == "jxl" or asked.format == "jp2" or asked.format == "heic":
        raise FormatUnknown(f"{asked.format} cannot be written")
    if asked.format is not None:
        return asked.format
    is_animated = has_frames(asked, info)
    for accepted in asked.accepted:
        if accepted in ANIMATED or not is_animated:
            return accepted
    return "tiff" if info.format == "tiff" else plan.WRITTEN[info.format]


def has_frames(asked: Parameters, info: ImageInfo) -> bool:
    imagor = asked.imagor or Imagor()
    return info.frames > 1 and imagor.max_frames != 1 and not imagor.page


def _load(imagor: Imagor, info: ImageInfo) -> LoadOptions:
    load = DEFAULT_LOAD
    if imagor.dpi and info.is_svg:
        load = replace(load, dpi=float(imagor.dpi))
    if imagor.page:
        return replace(load, page=imagor.page - 1, frames="first")
    if imagor.max_frames and info.frames > 1:
        return replace(load, frames="first" if imagor.max_frames == 1 else imagor.max_frames)
    return load


def _encode(asked: Parameters, written: Format, config: Config) -> Encode:
    imagor = asked.imagor or Imagor()
    is_lossless = imagor.is_lossless and written in FORMATS_WITH["lossless"]
    has_palette = imagor.has_palette and written in FORMATS_WITH["colors"]
    has_depth = imagor.bit_depth in BIT_DEPTHS.get(written, ()) and not has_palette
    encode = Encode(
        written,
        lossless=is_lossless,
        colors=_PALETTE if has_palette else None,
        metadata="all" if imagor.has_metadata else "none",
        profile=imagor.profile if written in FORMATS_WITH["profile"] else "srgb",
    )
    if has_depth:
        encode = replace(encode, bit_depth=imagor.bit_depth)
    if written == "jpeg":
        encode = replace(encode, background="#000000", progressive=config.progressive_jpeg)
    if written in FORMATS_WITH["quality"] and not is_lossless:
        own = {"webp": config.webp_quality, "avif": config.avif_quality}.get(written, 0)
        encode = replace(encode, quality=asked.quality or own or config.quality, max_bytes=asked.max_bytes)
    return encode
