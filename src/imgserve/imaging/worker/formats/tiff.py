"""The tags in the first page of a TIFF. Of a file with thousands of pages, all of which libvips would read, the first.

Called by load, ending, colour.numbers and tiffcolour, and by jpegheader for EXIF. TIFF 6.0, section 2; BigTIFF (Adobe's
TIFF Technical Note 3) as libtiff documents it.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Literal

from imgserve.imaging.worker.source import Data

_MOST_PAGES = 200  # pages are no frames here, but the smaller copies of a picture may stand in some
_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}
_BIG_VERSION = 43
# The position of the first page's address, and the bytes of a count, an entry and an address.
_CLASSIC, _BIG = (4, 2, 12, 4), (8, 8, 20, 8)
_RATIONAL = 5
_NUMBER_BYTES = {3: 2, 4: 4, _RATIONAL: 8}
_MOST_ENTRIES = 1000
_MOST_NUMBER_BYTES = 3 * 2 * 65536  # the longest: three tables of 16 bits


class File:
    """A TIFF's numbers, in its byte order. ``first`` is the position of the first page's address."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self.order = _BYTE_ORDERS[data[:2]]
        layout = _BIG if self.number(2, 2) == _BIG_VERSION else _CLASSIC
        self.first, self.count_bytes, self._entry_bytes, self.address_bytes = layout

    def number(self, at: int, count: int) -> int:
        return int.from_bytes(self._data[at : at + count], self.order)

    def address(self, at: int) -> int:
        return self.number(at, self.address_bytes)

    def entries(self, page: int) -> range:
        """The positions of a page's entries; the range ends where they end."""
        first = page + self.count_bytes
        return range(first, first + self.number(page, self.count_bytes) * self._entry_bytes, self._entry_bytes)

    def first_entries(self) -> Iterator[tuple[int, int]]:
        """The tags of the first page, and the position of each entry."""
        return ((self.number(at, 2), at) for at in self.entries(self.address(self.first))[:_MOST_ENTRIES])

    def numbers(self, at: int) -> list[float]:
        """The values of the entry there; none for values that are no numbers."""
        kind, count = self.number(at + 2, 2), self.address(at + 4)
        size = _NUMBER_BYTES.get(kind, 0)
        if not 0 < count * size <= _MOST_NUMBER_BYTES:
            return []
        begin = at + 4 + self.address_bytes
        if count * size > self.address_bytes:
            begin = self.address(begin)
        places = range(begin, begin + count * size, size)
        if kind != _RATIONAL:
            return [float(self.number(place, size)) for place in places]
        pairs = [(self.number(place, 4), self.number(place + 4, 4)) for place in places]
        return [above / below if below else 0.0 for above, below in pairs]


def tags(data: Data, wanted: tuple[int, ...]) -> dict[int, list[float]]:
    """The numbers under these tags in the first page's directory; empty lists for values that are no numbers."""
    file = File(data)
    return {tag: file.numbers(at) for tag, at in file.first_entries() if tag in wanted}


def with_value(data: Data, changed_tag: int, value: int) -> bytes:
    """The same file with another short value under this tag, which the first page's directory has."""
    file, result = File(data), bytearray(data)
    at = next(at for tag, at in file.first_entries() if tag == changed_tag) + 4 + file.address_bytes
    result[at : at + 2] = value.to_bytes(2, file.order)
    return bytes(result)


def count(data: Data, most: int) -> int:
    """The number of pages, at most ``most``."""
    return sum(1 for _ in islice(_pages(File(data), len(data)), most))


def page_alone(data: Data, number: int) -> bytes:
    """A file whose only page is that one, which exists."""
    file, result = File(data), bytearray(data)
    page = next(islice(_pages(file, len(data)), number, None))
    end = file.entries(page).stop
    for at, address in ((file.first, page), (end, 0)):
        result[at : at + file.address_bytes] = address.to_bytes(file.address_bytes, file.order)
    return bytes(result)


def _pages(file: File, size: int) -> Iterator[int]:
    """The addresses of the pages. A chain may lead back into itself: then it never ends."""
    at = file.first
    while 0 < (page := file.address(at)) <= size - file.count_bytes:
        yield page
        at = file.entries(page).stop


def without_a_flood_of_pages(data: Data) -> Data:
    """The same bytes; of a file with more than ``_MOST_PAGES`` a copy that ends with the first."""
    file = File(data)
    at = end = file.first
    for number in range(_MOST_PAGES + 1):
        page = file.address(at)
        if page == 0 or page + file.count_bytes > len(data):
            return data
        at = file.entries(page).stop
        end = at if number == 0 else end
    return b"".join([data[:end], bytes(file.address_bytes), data[end + file.address_bytes :]])
