"""The tags in the first page of a TIFF. Of a file with thousands of pages, all of which libvips would read, the first.

Called by load, ending, colour.numbers and tiffcolour. TIFF 6.0, section 2; BigTIFF (Adobe's TIFF Technical Note 3) as
libtiff documents it.
"""

import mmap
from collections.abc import Iterator
from typing import Literal, NamedTuple

_MOST_PAGES = 200  # pages are no frames here, but the smaller copies of a picture may stand in some
_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}


class _Layout(NamedTuple):
    """The position of the first directory's address, and the bytes of a count, an entry and an address."""

    first: int
    count_bytes: int
    entry_bytes: int
    address_bytes: int


_CLASSIC, _BIG = _Layout(4, 2, 12, 4), _Layout(8, 8, 20, 8)
_BIG_VERSION = 43
_RATIONAL = 5
_NUMBER_BYTES = {3: 2, 4: 4, _RATIONAL: 8}
_MOST_ENTRIES = 1000
_MOST_NUMBER_BYTES = 3 * 2 * 65536  # the longest: three tables of 16 bits


def tags(data: bytes | mmap.mmap, wanted: tuple[int, ...]) -> dict[int, list[float]]:
    """The numbers under these tags in the first page's directory; empty lists for values that are no numbers."""
    order, layout = _order_and_layout(data)
    return {tag: _numbers(data, at + 2, layout, order) for tag, at in _entries(data) if tag in wanted}


def value_at(data: bytes | mmap.mmap, wanted: int) -> int:
    """The position of a short value in the first page's directory, which has this tag."""
    _, layout = _order_and_layout(data)
    return next(at for tag, at in _entries(data) if tag == wanted) + 4 + layout.address_bytes


def _order_and_layout(data: bytes | mmap.mmap) -> tuple[Literal["little", "big"], _Layout]:
    order = _BYTE_ORDERS[data[:2]]
    return order, _BIG if int.from_bytes(data[2:4], order) == _BIG_VERSION else _CLASSIC


def _entries(data: bytes | mmap.mmap) -> Iterator[tuple[int, int]]:
    """The tags of the first page, and the position of each entry."""
    order, layout = _order_and_layout(data)
    page = int.from_bytes(data[layout.first : layout.first + layout.address_bytes], order)
    entries = int.from_bytes(data[page : page + layout.count_bytes], order)
    for number in range(min(entries, _MOST_ENTRIES)):
        at = page + layout.count_bytes + number * layout.entry_bytes
        yield int.from_bytes(data[at : at + 2], order), at


def _numbers(data: bytes | mmap.mmap, at: int, layout: _Layout, order: Literal["little", "big"]) -> list[float]:
    kind = int.from_bytes(data[at : at + 2], order)
    count = int.from_bytes(data[at + 2 : at + 2 + layout.address_bytes], order)
    size = _NUMBER_BYTES.get(kind, 0)
    if not 0 < count * size <= _MOST_NUMBER_BYTES:
        return []
    value_at = at + 2 + layout.address_bytes
    if count * size > layout.address_bytes:
        value_at = int.from_bytes(data[value_at : value_at + layout.address_bytes], order)
    parts = [data[place : place + size] for place in range(value_at, value_at + count * size, size)]
    if kind != _RATIONAL:
        return [float(int.from_bytes(part, order)) for part in parts]
    pairs = [(int.from_bytes(part[:4], order), int.from_bytes(part[4:], order)) for part in parts]
    return [above / below if below else 0.0 for above, below in pairs]


def without_a_flood_of_pages(data: bytes | mmap.mmap) -> bytes | mmap.mmap:
    """The same bytes; of a file with more than ``_MOST_PAGES`` a copy that ends with the first."""
    order, layout = _order_and_layout(data)
    at = end = layout.first
    for number in range(_MOST_PAGES + 1):
        page = int.from_bytes(data[at : at + layout.address_bytes], order)
        if page == 0 or page + layout.count_bytes > len(data):
            return data
        entries = int.from_bytes(data[page : page + layout.count_bytes], order)
        at = page + layout.count_bytes + entries * layout.entry_bytes
        end = at if number == 0 else end
    return b"".join([data[:end], bytes(layout.address_bytes), data[end + layout.address_bytes :]])
