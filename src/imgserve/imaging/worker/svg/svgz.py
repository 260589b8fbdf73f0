"""Unpacks compressed SVGs (.svgz; SVG 1.1, 1.2), no further than the limit.

Called by probe and pipeline before anything else reads the source. librsvg would unpack them too, but without a limit.
"""

import zlib

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import bounds
from imgserve.imaging.worker.detect import detect
from imgserve.imaging.worker.source import Data
from imgserve.request.limits import Limits

_MAGIC = b"\x1f\x8b"
_GZIP = 31  # zlib's wbits for a gzip member
_MOST_MEMBERS = 16  # a file may have several (RFC 1952, 2.2); each costs a copy of the rest
_HINT = "send the picture as it is; of what is compressed only SVG is read"


def is_packed(data: Data) -> bool:
    return data[:2] == _MAGIC


def unpacked(data: Data, limits: Limits) -> bytes:
    """The SVG inside. Raises PictureTooLarge, SourceUnreadable for anything else."""
    bounds.check_svg_bytes(len(data), limits)
    packed, plain = bytes(data), b""
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(_GZIP)
        try:
            plain += member.decompress(packed, limits.svg_bytes + 1 - len(plain))
        except zlib.error as error:
            raise SourceUnreadable("the source begins like gzip but cannot be unpacked", _HINT) from error
        bounds.check_svg_bytes(len(plain), limits)
        if not member.eof:
            raise SourceUnreadable("the source is compressed with gzip and cut off", "check that the file is complete")
        packed = member.unused_data
        if not is_packed(packed):
            break
    if detect(plain) != "svg":
        raise SourceUnreadable("the source is compressed with gzip, and what is in it is no SVG", _HINT)
    return plain
