"""Writes metadata into an AVIF as further items of its ``meta`` box. Called by ``embed``.

ISO 14496-12, sections 8.11.3 (iloc), 8.11.6 (iinf) and 8.11.12 (iref); ISO 23008-12, annex A (Exif), and section 6.5.
The new items stand in an ``mdat`` box at the end; the old ones move by as much as ``meta`` grows.
"""

from collections.abc import Iterator

_VERSION_BYTES = 4
_IN_FILE = 0
_XMP_TYPE = b"application/rdf+xml\0"

Boxes = list[tuple[bytes, bytes]]


def embedded(file: bytes, exif: bytes, xmp: bytes) -> bytes:
    boxes = list(_boxes(file))
    meta_at = next(at for at, (name, _) in enumerate(boxes) if name == b"meta")
    parts = list(_boxes(boxes[meta_at][1][_VERSION_BYTES:]))
    primary = int.from_bytes(dict(parts)[b"pitm"][_VERSION_BYTES:], "big")
    # Exif's first four bytes are the offset of its TIFF header.
    items = [(b"Exif", b"\0", bytes(4) + exif)] if exif else []
    items += [(b"mime", b"\0" + _XMP_TYPE, xmp)] if xmp else []
    first = max(_items(dict(parts)[b"iloc"])) + 1
    old = _box(*boxes[meta_at])
    data_at = len(file)  # of the new data, before meta grows

    def meta(growth: int) -> bytes:
        changed = {
            b"iloc": _iloc(dict(parts)[b"iloc"], items, first, data_at + 8, growth),
            b"iinf": _iinf(dict(parts)[b"iinf"], items, first),
            b"iref": _iref(dict(parts).get(b"iref", bytes(_VERSION_BYTES)), len(items), first, primary),
        }
        names = [name for name, _ in parts] + [name for name in changed if name not in dict(parts)]
        body = b"".join(_box(name, changed.get(name) or dict(parts)[name]) for name in names)
        return _box(b"meta", boxes[meta_at][1][:_VERSION_BYTES] + body)

    growth = len(meta(0)) - len(old)
    written = [_box(*box) for box in boxes]
    written[meta_at] = meta(growth)
    return b"".join((*written, _box(b"mdat", b"".join(data for _, _, data in items))))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each box, of a file that our encoder wrote: none is longer than 4 GB."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big") or len(data) - at
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def _box(name: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4, "big") + name + body


class _Numbers:
    """Reads numbers of the widths that a box states, and writes them again."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = data
        self._at = 0
        self.written = bytearray()

    def take(self, width: int) -> int:
        self._at += width
        return int.from_bytes(self._data[self._at - width : self._at], "big")

    def write(self, value: int, width: int) -> None:
        self.written += value.to_bytes(width, "big")

    def pass_on(self, width: int, more: int = 0) -> int:
        value = self.take(width)
        self.write(value + more, width)
        return value


class _Widths:
    """Of the numbers in an ``iloc``, by its version and its first two bytes."""

    def __init__(self, iloc: bytes) -> None:
        self.version = iloc[0]
        self.offset, self.length, self.base = iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4
        self.index = iloc[5] & 15 if self.version else 0
        self.id = 4 if self.version == 2 else 2


def _items(iloc: bytes) -> list[int]:
    """Their numbers."""
    numbers: list[int] = []
    _moved(iloc, 0, 0, numbers)
    return numbers


def _iloc(iloc: bytes, items: list[tuple[bytes, bytes, bytes]], first: int, data_at: int, growth: int) -> bytes:
    widths, numbers = _Widths(iloc), _moved(iloc, growth, len(items), [])
    at = data_at + growth
    for number, (_, _, data) in enumerate(items, first):
        numbers.write(number, widths.id)
        numbers.write(_IN_FILE, 2 if widths.version else 0)
        numbers.write(0, 2)  # this file
        numbers.write(0, widths.base)
        numbers.write(1, 2)  # extent
        numbers.write(0, widths.index)
        numbers.write(at, widths.offset)
        numbers.write(len(data), widths.length)
        at += len(data)
    return bytes(numbers.written)


def _moved(iloc: bytes, growth: int, more_items: int, ids: list[int]) -> _Numbers:
    """The items that are there, with their new offsets; their numbers go into ``ids``."""
    widths, numbers = _Widths(iloc), _Numbers(iloc)
    numbers.pass_on(_VERSION_BYTES + 2)
    count = numbers.pass_on(widths.id, more_items)
    for _ in range(count):
        ids.append(numbers.pass_on(widths.id))
        method = numbers.pass_on(2) & 15 if widths.version else _IN_FILE
        move = growth if method == _IN_FILE else 0
        numbers.pass_on(2)
        numbers.pass_on(widths.base, move if widths.base else 0)
        for _ in range(numbers.pass_on(2)):
            numbers.pass_on(widths.index)
            numbers.pass_on(widths.offset, 0 if widths.base else move)
            numbers.pass_on(widths.length)
    return numbers


def _iinf(iinf: bytes, items: list[tuple[bytes, bytes, bytes]], first: int) -> bytes:
    width = 4 if iinf[0] else 2
    count = int.from_bytes(iinf[_VERSION_BYTES : _VERSION_BYTES + width], "big") + len(items)
    entries = (
        # Version 2, and the flag of an item that is not shown.
        _box(b"infe", b"\2\0\0\1" + number.to_bytes(2, "big") + b"\0\0" + kind + text)
        for number, (kind, text, _) in enumerate(items, first)
    )
    return iinf[:_VERSION_BYTES] + count.to_bytes(width, "big") + iinf[_VERSION_BYTES + width :] + b"".join(entries)


def _iref(iref: bytes, count: int, first: int, primary: int) -> bytes:
    """Each new item describes the picture."""
    width = 4 if iref[0] else 2
    references = (
        _box(b"cdsc", number.to_bytes(width, "big") + b"\0\1" + primary.to_bytes(width, "big"))
        for number in range(first, first + count)
    )
    return iref + b"".join(references)
