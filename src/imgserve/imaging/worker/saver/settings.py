"""The settings of libvips' savers for an ``Encode``. Called by ``save`` and ``draw``.

docs/performance.md has the measurements behind the efforts; ``balanced`` is the default.
"""

from collections.abc import Mapping

from imgserve.imaging.worker.saver import palette
from imgserve.request.encode import DEFAULT_QUALITY, Effort, Encode, Format

Settings = Mapping[str, str | int]

DEFAULT_EFFORT: Effort = "balanced"
EFFORTS: Mapping[Format, Mapping[Effort, Settings]] = {
    "jpeg": {
        "fast": {},
        "balanced": {},
        "best": {"trellis_quant": True, "optimize_coding": True, "quant_table": 3},
    },
    "png": {"fast": {"compression": 1}, "balanced": {"compression": 6}, "best": {"compression": 9, "filter": "all"}},
    "webp": {"fast": {"effort": 0}, "balanced": {"effort": 2}, "best": {"effort": 6}},
    "gif": {"fast": {"effort": 1}, "balanced": {"effort": 3}, "best": {"effort": 7}},
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
_GIF_COLORS = 256
_SUBSAMPLING = {"auto": "auto", "420": "on", "444": "off"}


def of(encode: Encode, output_format: Format, *, is_drawing: bool) -> Settings:
    """Everything but the quality. ``is_drawing`` counts for PNG alone."""
    effort = encode.effort or DEFAULT_EFFORT
    settings = dict(EFFORTS[output_format][effort])
    match output_format:
        case "jpeg":
            settings |= {"interlace": encode.progressive, "subsample_mode": _SUBSAMPLING[encode.chroma]}
            if encode.progressive and effort == "best":
                settings["optimize_scans"] = True
        case "png" if encode.colors is not None:
            bits = palette.png_bits(encode.colors)
            settings |= {"palette": True, "bitdepth": bits, "interlace": encode.progressive, "filter": "none"}
        case "png":
            settings |= {} if is_drawing else _PHOTO_PNG[effort]
            settings |= {"interlace": encode.progressive}
        case "webp" if encode.near_lossless is not None:
            settings |= {"near_lossless": True, "lossless": True}
        case "webp":
            settings |= {"lossless": encode.lossless}
        case "gif":
            settings |= {"interlace": encode.progressive, "bitdepth": palette.gif_bits(encode.colors or _GIF_COLORS)}
        case "avif":
            subsampling = "off" if encode.lossless else _SUBSAMPLING[encode.chroma]
            settings |= {
                "compression": "av1", "bitdepth": 10 if encode.bit_depth == 10 else 8, "lossless": encode.lossless,
                "subsample_mode": subsampling,
            }  # fmt: skip
    return settings


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
