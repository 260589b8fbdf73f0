"""Whether a picture's file is complete. Called by load, which refuses a truncated file with a hint."""

from imgserve.imaging.worker.formats import gif, isobmff, jpegheader, tiff
from imgserve.imaging.worker.source import Data
from imgserve.request.imageinfo import SourceFormat

_RIFF_HEADER_BYTES = 8
_STRIPS, _TILES = (273, 279), (324, 325)  # TIFF: the tags of their positions and lengths


def has_end_mark(data: Data, source_format: SourceFormat) -> bool:
    """False for a JPEG, PNG or GIF without its end mark, which decoding misses if it needs no last row or frame.

    In a JPEG the search starts behind the headers, since a thumbnail in them has an end mark of its own.
    """
    if source_format == "png":
        return data.rfind(b"IEND") > 0
    if source_format == "jpeg":
        scan_at = max((end for _, _, end in jpegheader.segments(data)), default=0)
        return data.rfind(b"\xff\xd9", scan_at) > 0
    if source_format == "gif":
        return gif.has_trailer(data)
    return True


def is_whole(data: Data, source_format: SourceFormat) -> bool:
    """False if the file is shorter than its own lengths and positions require."""
    if source_format == "webp":
        return int.from_bytes(data[4:8], "little") + _RIFF_HEADER_BYTES <= len(data)
    if source_format in ("avif", "heic"):
        return isobmff.is_whole(data)
    if source_format == "tiff":
        return _has_its_strips(data)
    return has_end_mark(data, source_format)


def _has_its_strips(data: Data) -> bool:
    values = tiff.tags(data, (*_STRIPS, *_TILES))
    for begins, lengths in (_STRIPS, _TILES):
        strips = zip(values.get(begins, []), values.get(lengths, []), strict=False)
        if any(begin + length > len(data) for begin, length in strips):
            return False
    return bool(values)
