"""The format of the result, and its settings: parameters and the source's header in. For ``plan``."""

from typing import get_args

from imgserve.request.dialects.imgproxy.parameters import Parameters
from imgserve.request.dialects.imgproxy.refused import FormatUnsupported
from imgserve.request.dialects.imgproxy.sizes import Sides
from imgserve.request.encode import Encode, Format, of_format
from imgserve.request.formats import ANIMATED
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.recipe import DEFAULT_LOAD, Frames, LoadOptions

_WRITABLE: tuple[Format, ...] = get_args(Format)
_LEAST_OF_AVIF = 16  # pixels a side
_LEAST_MAX_BYTES = 100  # of Encode
SVG_DPI = 96.0  # of absolute units, as in CSS; version 3 has 72
_OPAQUE: frozenset[Format] = frozenset({"jpeg"})


def has_alpha(output_format: Format) -> bool:
    """Whether the format holds transparency."""
    return output_format not in _OPAQUE


def is_source(picture: Parameters, info: ImageInfo) -> bool:
    """Whether the source is sent as it is."""
    if info.is_svg and (picture.format == "svg" or (picture.format is None and not picture.rasterize_svg)):
        return True
    return info.format in picture.skip_processing and picture.format in (None, info.format)


def chosen(picture: Parameters, info: ImageInfo) -> Format:
    """Raises FormatUnsupported for one that is not written."""
    is_animated = _is_animated(picture, info)
    if picture.format is None:
        return _negotiated(picture.accepted, is_animated=is_animated) or _preferred(picture, info)
    enforced = _negotiated(picture.enforced, is_animated=is_animated)
    if enforced is not None:
        return enforced
    for one in _WRITABLE:
        if one == picture.format:
            return one
    raise FormatUnsupported(f"{picture.format} is not written here")


def fitting(output_format: Format, result: Sides, *, is_transparent: bool) -> Format:
    """The format for a result of this size: AVIF has a least one."""
    if output_format == "avif" and min(result) < _LEAST_OF_AVIF:
        return "png" if is_transparent else "jpeg"
    return output_format


def frames(picture: Parameters, info: ImageInfo, output_format: Format) -> int:
    """How many frames of the source are taken."""
    return min(info.frames, picture.max_frames) if output_format in ANIMATED else 1


def encode(picture: Parameters, output_format: Format) -> Encode:
    """With the defaults for all that the format lacks."""
    metadata = ("copyright" if picture.keep_copyright else "none") if picture.strip_metadata else "all"
    quality = picture.quality_of(output_format)
    compression = picture.webp if output_format == "webp" else "lossy"
    has_most = picture.max_bytes and compression == "lossy"
    settings = Encode(
        format=output_format,
        quality=quality,
        lossless=compression == "lossless",
        near_lossless=quality if compression == "near_lossless" else None,
        progressive=picture.interlaced if output_format == "png" else picture.progressive and output_format == "jpeg",
        chroma="444" if picture.has_full_chroma and output_format == "jpeg" else "auto",
        colors=picture.colors if picture.colors and output_format == "png" else None,
        metadata=metadata,  # type: ignore[arg-type]
        profile="srgb" if picture.strip_color_profile else "source",
        max_bytes=max(picture.max_bytes, _LEAST_MAX_BYTES) if has_most else None,
    )
    return of_format(settings, output_format)


def load(picture: Parameters, info: ImageInfo, output_format: Format, *, is_trimmed: bool) -> LoadOptions:
    """A picture that is trimmed comes as it is stored."""
    is_upright = info.orientation == 1 or (picture.auto_rotate and not is_trimmed)
    return LoadOptions(
        dpi=SVG_DPI if info.is_svg else DEFAULT_LOAD.dpi,
        orient=is_upright,
        page=picture.page,
        frames=_frames(picture, info, output_format),
    )


def _frames(picture: Parameters, info: ImageInfo, output_format: Format) -> Frames:
    if info.frames <= picture.max_frames or output_format not in ANIMATED:
        return "auto"
    return "first" if picture.max_frames == 1 else picture.max_frames


def _is_animated(picture: Parameters, info: ImageInfo) -> bool:
    return info.frames > 1 and picture.max_frames > 1


def _negotiated(formats: tuple[Format, ...], *, is_animated: bool) -> Format | None:
    return next((one for one in formats if one != "avif" or not is_animated), None)


def _preferred(picture: Parameters, info: ImageInfo) -> Format:
    """The source's own if it is among them, else the first that can hold the result."""
    preferred = picture.preferred
    own = next((one for one in preferred if one == info.format), None)
    if own is not None:
        return own
    is_transparent = not picture.background and (info.may_be_transparent or any(picture.padding) or picture.extend)
    for one in preferred:
        if (one in ANIMATED or not _is_animated(picture, info)) and (has_alpha(one) or not is_transparent):
            return one
    return preferred[0] if preferred else "jpeg"
