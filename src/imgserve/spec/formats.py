"""Formats: which extension stands for one, which can be written, which hold frames, which are pictures at all."""

from imgserve.spec.facts import Facts
from imgserve.spec.recipe import Format

FORMAT_OF_EXTENSION: dict[str, Format] = {
    "jpg": "jpeg", "jpeg": "jpeg", "jpe": "jpeg", "jfif": "jpeg", "png": "png", "webp": "webp", "gif": "gif",
    "tif": "tiff", "tiff": "tiff", "avif": "avif",
}  # fmt: skip

# Pictures too, though they cannot be read: their bytes are refused with the sentence that says so (202).
UNREADABLE_RASTER = frozenset({
    "apng", "bmp", "dib", "heic", "heif", "ico", "jp2", "j2k", "jxl", "pjp", "pjpeg", "ppm", "psd", "tga",
})  # fmt: skip
VECTOR = frozenset({"svg", "svgz"})

MAX_SIDE_OF_FORMAT: dict[Format, int] = {"webp": 16_383}
"""Pixels; only formats whose own limit is below the server's widest side (WebP: RFC 9649, 14 bits)."""

ANIMATED: frozenset[str] = frozenset({"gif", "webp"})
"""The formats whose frames are read and written. Pages of a TIFF are no frames; AVIF films are read as a picture."""


def frames_kept(facts: Facts, output_format: Format) -> int:
    """How many frames a result has: all of them where the format can hold them, else the first."""
    return facts.frames if output_format in ANIMATED else 1


def format_of(extension: str) -> Format | None:
    """The format that is written for an extension (no dot, any case); None when it cannot be written."""
    return FORMAT_OF_EXTENSION.get(extension.lower())


def is_raster(extension: str) -> bool:
    return extension.lower() in FORMAT_OF_EXTENSION or extension.lower() in UNREADABLE_RASTER


def is_picture(extension: str) -> bool:
    return is_raster(extension) or extension.lower() in VECTOR
