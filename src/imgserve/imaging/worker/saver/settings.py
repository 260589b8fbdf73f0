"""The settings of libvips' savers for an ``Encode``. Called by ``save`` and ``draw``.

docs/performance.md has the measurements behind the efforts; ``balanced`` is the default.
"""

from collections.abc import Mapping

from imgserve.imaging.worker.saver import palette
from imgserve.request.encode import DEFAULT_QUALITY, FORMATS_WITH, Effort, Encode, Format

Settings = Mapping[str, str | int | float]

# Of the error of a pixel that its neighbours take over, if there are few colours. With all of it, as libvips has it,
# photographs score 3 points less in 4 % more bytes, drawings with shades 1 point less.
_DITHER = 0.5

DEFAULT_EFFORT: Effort = "balanced"
EFFORTS: Mapping[Format, Mapping[Effort, Settings]] = {
    "jpeg": {
        "fast": {},
        "balanced": {},
        "best": {"trellis_quant": True, "optimize_coding": True, "quant_table": 3},
    },
    "png": {"fast": {"compression": 1}, "balanced": {"compression": 6}, "best": {"compression": 9, "filter": "all"}},
    "webp": {"fast": {"effort": 0}, "balanced": {"effort": 2}, "best": {"effort": 6}},
    "gif": {
        "fast": {"effort": 1, "dither": _DITHER},
        "balanced": {"effort": 3, "dither": _DITHER},
        "best": {"effort": 7},
    },
    "tiff": {
        "fast": {"compression": "lzw", "predictor": "horizontal"},
        "balanced": {"compression": "lzw", "predictor": "horizontal"},
        "best": {"compression": "deflate", "predictor": "horizontal"},
    },
    "avif": {"fast": {"effort": 0}, "balanced": {"effort": 0}, "best": {"effort": 3}},
}
# A quarter fewer bytes for photographs, in less time; drawings grow by a tenth to a third and keep the plain setting.
_PHOTO_PNG: Mapping[Effort, Settings] = {
    "fast": {"filter": "avg", "compression": 1},
    "balanced": {"filter": "avg", "compression": 3},
    "best": {"filter": "all", "compression": 9},
}
# libdeflate's, for photographs and drawings: as few bytes in less time than zlib's 3 and 6. zlib's 1 is faster still.
_DEFLATE_LEVELS: Mapping[Effort, tuple[int, int]] = {"balanced": (2, 5)}


def deflate_levels(encode: Encode) -> tuple[int, int] | None:
    """For a photograph and a drawing in PNG; None for one that libvips compresses: its filters are chosen by what zlib
    makes of them, or its pixels are not in rows.
    """
    if encode.progressive or encode.colors is not None:
        return None
    return _DEFLATE_LEVELS.get(encode.effort or DEFAULT_EFFORT)


def of(encode: Encode, output_format: Format, *, is_drawing: bool) -> Settings:
    """Everything but the quality, without libvips' own defaults. ``is_drawing`` counts for PNG alone."""
    effort = encode.effort or DEFAULT_EFFORT
    settings = dict(EFFORTS[output_format][effort])
    if encode.progressive and output_format in FORMATS_WITH["progressive"]:
        settings["interlace"] = True
    match output_format:
        case "jpeg":
            settings |= _subsampling(encode)
            settings |= {"optimize_scans": True} if encode.progressive and effort == "best" else {}
        case "png" if encode.colors is not None:
            quantiser = EFFORTS["gif"][effort]  # GIF's too
            settings |= {"palette": True, "bitdepth": palette.png_bits(encode.colors), "filter": "none", **quantiser}
        case "png" if not is_drawing:
            settings |= _PHOTO_PNG[effort]
        case "webp" if encode.near_lossless is not None:
            settings |= {"near_lossless": True, "lossless": True}
        case "webp" if encode.lossless:
            settings |= {"lossless": True}
        case "gif" if encode.colors is not None:
            settings |= {"bitdepth": palette.gif_bits(encode.colors)}
        case "avif":
            settings |= {"compression": "av1", "bitdepth": 10 if encode.bit_depth == 10 else 8}
            settings |= {"lossless": True, "subsample_mode": "off"} if encode.lossless else _subsampling(encode)
    return settings


def _subsampling(encode: Encode) -> Settings:
    return {} if encode.chroma == "auto" else {"subsample_mode": "on" if encode.chroma == "420" else "off"}


def png_compression(encode: Encode) -> int:
    """zlib's level for a PNG whose palette is merged here."""
    return int(EFFORTS["png"][encode.effort or DEFAULT_EFFORT]["compression"])


def quality_of(encode: Encode, output_format: Format) -> int | None:
    """libvips' Q; None for a format without quality, and for a lossless picture."""
    if output_format == "webp" and encode.near_lossless is not None:
        return encode.near_lossless
    if output_format not in DEFAULT_QUALITY or encode.lossless:
        return None
    return encode.quality or DEFAULT_QUALITY[output_format]
