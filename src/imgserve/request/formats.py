"""Formats and their extensions, those that hold frames, and extensions of files that are surely no pictures."""

from imgserve.request.encode import Format
from imgserve.request.imageinfo import ImageInfo, SourceFormat

FORMAT_OF_EXTENSION: dict[str, Format] = {
    "jpg": "jpeg", "jpeg": "jpeg", "jpe": "jpeg", "jfif": "jpeg", "png": "png", "webp": "webp", "gif": "gif",
    "tif": "tiff", "tiff": "tiff", "avif": "avif",
}  # fmt: skip

EXTENSION: dict[Format, str] = {
    "jpeg": "jpg", "png": "png", "webp": "webp", "gif": "gif", "tiff": "tiff", "avif": "avif",
}  # fmt: skip
"""The extension that ``{$ext}`` gives a result in the native API."""

# Of formats that are read and not written.
READ_ONLY: dict[str, SourceFormat] = {
    "apng": "png", "bmp": "bmp", "dib": "bmp", "heic": "heic", "heif": "heic", "hif": "heic", "ico": "ico",
}  # fmt: skip
# Pictures too, though they cannot be read: their bytes are refused with the sentence that says so (202).
UNREADABLE_RASTER = frozenset({"jp2", "j2k", "jxl", "pjp", "pjpeg", "ppm", "psd", "tga"})
VECTOR = frozenset({"svg", "svgz"})

# Well-known kinds that are no pictures. Any other extension may be a picture's, and the bytes decide: scripts (.php,
# .ashx), sizes (.jpg:large), numbers (5.1).
OTHER_KINDS = frozenset({
    "txt", "text", "md", "rtf", "log", "csv", "tsv", "ini", "conf", "cfg", "yaml", "yml", "toml", "json", "jsonl",
    "xml", "html", "htm", "xhtml", "css", "scss", "js", "mjs", "map", "wasm", "sql", "db", "sqlite", "ics", "vcf",
    "zip", "gz", "tgz", "tar", "bz2", "xz", "zst", "7z", "rar", "jar", "apk", "iso", "dmg", "exe", "msi", "dll", "deb",
    "rpm", "eml", "torrent", "ttf", "otf", "woff", "woff2", "eot",
    "mp3", "wav", "flac", "ogg", "oga", "opus", "m4a", "aac", "wma", "mid", "midi",
    "mp4", "m4v", "mov", "avi", "mkv", "webm", "wmv", "flv", "mpg", "mpeg", "3gp", "ogv",
    "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "odp", "epub", "mobi",
})  # fmt: skip

RASTER = UNREADABLE_RASTER.union(FORMAT_OF_EXTENSION, READ_ONLY)
WELL_KNOWN = RASTER | VECTOR | OTHER_KINDS
"""Extensions that may be shown: any other text behind a dot may be a secret."""

MAX_SIDE_OF_FORMAT: dict[Format, int] = {"webp": 16_383}
"""Pixels; only formats whose own limit is below the server's widest side (WebP: RFC 9649, 14 bits)."""

ANIMATED: frozenset[str] = frozenset({"gif", "webp"})
"""The formats whose frames are written. Those of animated PNG are read too; AVIF films are read as a picture."""


def frames_kept(info: ImageInfo, output_format: Format) -> int:
    """How many frames a result has: all of them where the format can hold them, else the first."""
    return info.frames if output_format in ANIMATED else 1
