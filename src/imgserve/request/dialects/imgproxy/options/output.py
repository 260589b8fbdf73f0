"""The options of format, metadata, answer and limits. For ``table``."""

from typing import get_args

import msgspec

from imgserve.request.dialects.imgproxy.arguments import MOST, base64_text, boolean, integer, number, shown
from imgserve.request.dialects.imgproxy.options.options import (
    Apply,
    Arguments,
    Options,
    check_count,
    given,
    set_in,
    sets,
)
from imgserve.request.dialects.imgproxy.parameters import FormatWord, WebpCompression
from imgserve.request.dialects.imgproxy.refused import InvalidUrl
from imgserve.request.recipe import MAX_PAGE
from imgserve.request.values import is_text

FORMATS: dict[str, FormatWord] = {
    "jpg": "jpeg", "jpeg": "jpeg", "png": "png", "webp": "webp", "gif": "gif", "avif": "avif", "tiff": "tiff",
    "ico": "ico", "bmp": "bmp", "heic": "heic", "jxl": "jxl", "svg": "svg",
}  # fmt: skip
_MOST_QUALITY, _MOST_COLORS = 100, 256
MEGAPIXEL = 1_000_000
_MOST_SECONDS = 2**63 - 1


def format_named(text: str) -> FormatWord:
    if text not in FORMATS:
        raise InvalidUrl(f"expected a format of pictures, got {shown(text)}")
    return FORMATS[text]


def quality(options: Options, arguments: Arguments) -> Options:
    check_count(arguments, 1)
    return msgspec.structs.replace(options, quality=_quality(arguments[0]))


def format_quality(options: Options, arguments: Arguments) -> Options:
    """Pairs of a format and its quality."""
    if len(arguments) % 2:
        raise InvalidUrl("expected a quality behind each format")
    pairs = dict(options.format_quality)
    for word, text in zip(arguments[::2], arguments[1::2], strict=True):
        pairs[format_named(word)] = _quality(text)
    return msgspec.structs.replace(options, format_quality=tuple(pairs.items()))


def skip_processing(options: Options, arguments: Arguments) -> Options:
    """Adds to the formats that are there."""
    formats = set(options.picture.skip_processing).union(format_named(text) for text in arguments)
    return set_in(options, skip_processing=tuple(sorted(formats)))


def jpeg_options(options: Options, arguments: Arguments) -> Options:
    """Progressive, no subsampling. The others are accepted, and change nothing that can be seen."""
    check_count(arguments, 6)
    for field, text in zip(("progressive", "has_full_chroma"), arguments, strict=False):
        if text:
            options = set_in(options, **{field: boolean(text)})
    return options


def png_options(options: Options, arguments: Arguments) -> Options:
    """Interlaced, quantize, colours."""
    check_count(arguments, 3)
    if arguments[0]:
        options = set_in(options, interlaced=boolean(arguments[0]))
    if given(arguments, 1):
        colors = integer(arguments[2], least=2, most=_MOST_COLORS) if given(arguments, 2) else _MOST_COLORS
        options = set_in(options, colors=colors if boolean(arguments[1]) else 0)
    return options


def webp_options(options: Options, arguments: Arguments) -> Options:
    """Compression. The others are accepted, and change little."""
    check_count(arguments, 3)
    if arguments[0] not in ("", *get_args(WebpCompression)):
        raise InvalidUrl(f"expected lossy, near_lossless or lossless, got {shown(arguments[0])}")
    return set_in(options, webp=arguments[0]) if arguments[0] else options


def disable_animation(options: Options, arguments: Arguments) -> Options:
    check_count(arguments, 1)
    return msgspec.structs.replace(options, is_still=boolean(arguments[0]))


def raw(options: Options, arguments: Arguments) -> Options:
    check_count(arguments, 1)
    return msgspec.structs.replace(options, is_raw=boolean(arguments[0]))


def filename(options: Options, arguments: Arguments) -> Options:
    check_count(arguments, 2)
    name = base64_text(arguments[0]) if boolean(given(arguments, 1)) else arguments[0]
    if not is_text(name):
        raise InvalidUrl("expected a file name in UTF-8, without control characters")
    return msgspec.structs.replace(options, filename=name)


def return_attachment(options: Options, arguments: Arguments) -> Options:
    check_count(arguments, 1)
    return msgspec.structs.replace(options, is_attachment=boolean(arguments[0]))


def expires(options: Options, arguments: Arguments) -> Options:
    check_count(arguments, 1)
    at_s = integer(arguments[0], least=-_MOST_SECONDS, most=_MOST_SECONDS)
    if 0 < at_s < int(options.now_s):
        raise InvalidUrl("the URL has expired")
    return msgspec.structs.replace(options, expires_at_s=max(at_s, 0))


def ignored(options: Options, arguments: Arguments) -> Options:
    """An option of one argument that changes no picture of ours."""
    check_count(arguments, 1)
    return options


def _quality(text: str) -> int:
    return integer(text, most=_MOST_QUALITY)


def _megapixels(text: str) -> int:
    return int(number(text, most=MOST / MEGAPIXEL) * MEGAPIXEL)


OPTIONS: dict[tuple[str, ...], Apply] = {
    ("strip_metadata", "sm"): sets("strip_metadata", boolean),
    ("keep_copyright", "kcr"): sets("keep_copyright", boolean),
    ("strip_color_profile", "scp"): sets("strip_color_profile", boolean),
    ("preserve_hdr", "ph"): ignored,
    ("enforce_thumbnail", "eth"): ignored,
    ("quality", "q"): quality,
    ("format_quality", "fq"): format_quality,
    ("max_bytes", "mb"): sets("max_bytes", integer),
    ("format", "f", "ext"): sets("format", format_named),
    ("jpeg_options", "jpgo"): jpeg_options,
    ("png_options", "pngo"): png_options,
    ("webp_options", "webpo"): webp_options,
    ("page", "pg"): sets("page", lambda text: integer(text, most=MAX_PAGE)),
    ("disable_animation", "da"): disable_animation,
    # The npm client writes "sp", which the original does not know.
    ("skip_processing", "skp", "sp"): skip_processing,
    ("raw",): raw,
    ("cachebuster", "cb"): ignored,
    ("expires", "exp"): expires,
    ("filename", "fn"): filename,
    ("return_attachment", "att"): return_attachment,
}
SECURITY_OPTIONS: dict[tuple[str, ...], Apply] = {
    ("max_src_resolution", "msr"): sets("max_source_pixels", _megapixels),
    ("max_src_file_size", "msfs"): sets("max_source_bytes", lambda text: max(integer(text, least=-MOST), 0)),
    ("max_animation_frames", "maf"): sets("max_frames", lambda text: integer(text, least=1)),
    ("max_animation_frame_resolution", "mafr"): sets("max_frame_pixels", _megapixels),
    ("max_result_dimension", "mrd"): sets("max_result_dimension", lambda text: max(integer(text, least=-MOST), 0)),
}
