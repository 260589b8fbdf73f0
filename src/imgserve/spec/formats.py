"""File extensions: which format one stands for, which can be written, which belong to pictures at all."""

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


def format_of(extension: str) -> Format | None:
    """The format that is written for an extension (no dot, any case); None when it cannot be written."""
    return FORMAT_OF_EXTENSION.get(extension.lower())


def is_raster(extension: str) -> bool:
    return extension.lower() in FORMAT_OF_EXTENSION or extension.lower() in UNREADABLE_RASTER


def is_picture(extension: str) -> bool:
    return is_raster(extension) or extension.lower() in VECTOR
