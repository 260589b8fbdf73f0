"""Whether a picture's file is complete. For load, which refuses a file that is cut off and gives a hint about it."""

import mmap

from imgserve.imaging.worker.formats import gif, isobmff, jpegheader, tiff
from imgserve.request.imageinfo import SourceFormat

Data = bytes | mmap.mmap

_RIFF_HEADER_BYTES = 8
_STRIPS, _TILES = (273, 279), (324, 325)  # TIFF: where they begin and how long they are


def has_end_mark(data: Data, source_format: SourceFormat) -> bool:
    """False for a JPEG, PNG or GIF without its end mark, which decoding misses when it needs no last row or frame.

    The search starts behind a JPEG's headers, for a thumbnail in them has an end mark of its own.
    """
    if source_format == "png":
        return data.rfind(b"IEND") > 0
    if source_format == "jpeg":
        return data.rfind(b"\xff\xd9", _scan_at(data)) > 0
    if source_format == "gif":
        return gif.has_trailer(data)
    return True


def is_whole(data: Data, source_format: SourceFormat) -> bool:
    """False where bytes are missing that the file itself speaks of."""
    if source_format == "webp":
        return int.from_bytes(data[4:8], "little") + _RIFF_HEADER_BYTES <= len(data)
    if source_format == "avif":
        return isobmff.is_whole(data)
    if source_format == "tiff":
        return _has_its_strips(data)
    return has_end_mark(data, source_format)


def _has_its_strips(data: Data) -> bool:
    found = tiff.tags(data, (*_STRIPS, *_TILES))
    for begins, lengths in (_STRIPS, _TILES):
        parts = zip(found.get(begins, []), found.get(lengths, []), strict=False)
        if any(begin + length > len(data) for begin, length in parts):
            return False
    return bool(found)


def _scan_at(data: Data) -> int:
    """Where a JPEG's first scan begins; where its segments are broken the decoder will judge."""
    return max((end for _, _, end in jpegheader.segments(data)), default=0)
