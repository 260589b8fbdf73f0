"""The first page of a TIFF without the thousands behind it, through which libvips would go. For ``load``.

TIFF 6.0, section 2; BigTIFF (Adobe's TIFF Technical Note 3) as libtiff documents it.
"""

import mmap
from typing import Literal, NamedTuple

_MOST_PAGES = 200  # pages are no frames here, but the smaller copies of a picture may stand in some
_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}


class _Layout(NamedTuple):
    """Where the first directory's address stands, and how many bytes count, entry and address take."""

    first: int
    count_bytes: int
    entry_bytes: int
    address_bytes: int


_CLASSIC, _BIG = _Layout(4, 2, 12, 4), _Layout(8, 8, 20, 8)
_BIG_VERSION = 43


def without_a_flood_of_pages(data: bytes | mmap.mmap) -> bytes | mmap.mmap:
    """The same bytes; of more than a few hundred pages a copy that ends with the first."""
    order = _BYTE_ORDERS[data[:2]]
    layout = _BIG if int.from_bytes(data[2:4], order) == _BIG_VERSION else _CLASSIC
    at = layout.first
    ends = [at]
    while len(ends) <= _MOST_PAGES + 1:
        page = int.from_bytes(data[at : at + layout.address_bytes], order)
        if page == 0 or page + layout.count_bytes > len(data):
            return data
        entries = int.from_bytes(data[page : page + layout.count_bytes], order)
        at = page + layout.count_bytes + entries * layout.entry_bytes
        ends.append(at)
    end = ends[1]
    return b"".join([data[:end], bytes(layout.address_bytes), data[end + layout.address_bytes :]])
