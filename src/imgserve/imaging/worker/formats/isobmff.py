"""Reads the boxes of an AVIF or HEIC: its colours, which libheif does not pass on, and its end. Called by
colour.numbers, ending, heif and probe.

ISO 14496-12, sections 4.2, 8.11 (8.11.3: the position of an item's bytes) and 12.1.5; ISO 23008-12, sections 6.6.2.3
(grids) and 9.3 (the properties of an item); AV1 Codec ISO Media File Format Binding, section 2.3 (``av1C``).
"""

import io
from collections.abc import Iterator
from itertools import islice

from imgserve.imaging.worker.source import Data

_MOST_BOXES, FLOOD_OF_BOXES = 1000, 10_000
_MOST_BYTES = 1_000_000  # of ``meta``: a picture's description is short, only a profile in it may be long
_HEADER_BYTES, _LONG_HEADER_BYTES, _VERSION_BYTES = 8, 16, 4
_LONG_IDS, _LONG_INDICES = 1, 1
_CONFIGURATION_BYTES = 4  # of av1C, before the OBUs
_MOST_CODED_BYTES = 1024  # of a picture: no sequence header is longer
_IN_FILE, _IN_META = 0, 1  # construction methods of an item


def colour_boxes(data: Data) -> list[bytes]:
    """The bodies of the ``colr`` boxes of the primary picture, else of a grid's first tile; none in a broken file."""
    meta = _meta(data)
    item = _primary(meta)
    return _properties(meta, item, b"colr") or _properties(meta, _first_tile(meta, item), b"colr")


def coded_beginning(data: Data) -> bytes:
    """The first OBUs of the primary picture, or of a grid's first tile: its configuration's, then its own."""
    meta = _meta(data)
    item = _first_tile(meta, _primary(meta))
    configured = (body[_CONFIGURATION_BYTES:] for body in _properties(meta, item, b"av1C"))
    return b"".join([*configured, _first_bytes(data, meta, item)])[:_MOST_CODED_BYTES]


def is_whole(data: Data) -> bool:
    """Whether the outermost boxes end where the file does, or before."""
    return all(end <= len(data) for _, _, end in islice(places(data), _MOST_BOXES))


def is_flood_of_boxes(data: Data) -> bool:
    """Whether there are too many outermost boxes for libheif, which reads every one of them."""
    return any(islice(places(data), FLOOD_OF_BOXES, None))


def unturned(data: Data) -> Data:
    """The same file with its turns and mirrors undone: each becomes a turn by nothing."""
    result = bytearray(data)
    for at, body, end in _properties_at(data):
        if data[at + 4 : at + 8] in (b"irot", b"imir") and end - body == 1:
            result[at + 4 : end] = b"irot\0"
    return bytes(result)


def _properties_at(data: Data) -> Iterator[tuple[int, int, int]]:
    """As ``places``, of the boxes in ``ipco``."""
    begin, end = 0, len(data)
    for name, skipped in ((b"meta", _VERSION_BYTES), (b"iprp", 0), (b"ipco", 0)):
        inner = islice(places(data, begin), _MOST_BOXES)
        _, body, end = next((place for place in inner if data[place[0] + 4 : place[0] + 8] == name), (end, end, end))
        begin = body + skipped
    return ((at, body, stop) for at, body, stop in islice(places(data, begin), _MOST_BOXES) if stop <= end)


def places(data: Data, at: int = 0) -> Iterator[tuple[int, int, int]]:
    """The position of each box from ``at`` on, of its body, and of its end."""
    while at + _HEADER_BYTES <= len(data):
        size, header = int.from_bytes(data[at : at + 4], "big"), _HEADER_BYTES
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), _LONG_HEADER_BYTES
        elif size == 0:
            size = len(data) - at
        end = at + size
        yield at, at + header, end
        at = max(end, at + header)


def boxes(data: Data) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each box."""
    for at, body, end in islice(places(data), _MOST_BOXES):
        if end < body:
            return
        yield bytes(data[at + 4 : at + 8]), bytes(data[body : min(end, at + _MOST_BYTES)])


def _meta(data: Data) -> dict[bytes, bytes]:
    return dict(boxes(next((body[_VERSION_BYTES:] for kind, body in boxes(data) if kind == b"meta"), b"")))


def _primary(meta: dict[bytes, bytes]) -> int:
    return int.from_bytes(meta.get(b"pitm", b"")[_VERSION_BYTES:], "big")


def _properties(meta: dict[bytes, bytes], item: int, kind: bytes) -> list[bytes]:
    """The bodies of the item's properties of this kind."""
    properties = dict(boxes(meta.get(b"iprp", b"")))
    known = dict(enumerate(boxes(properties.get(b"ipco", b"")), 1))
    owned = (known.get(at, (b"", b"")) for at in _indices(properties.get(b"ipma", b""), item))
    return [body for box_kind, body in owned if box_kind == kind]


def _first_tile(meta: dict[bytes, bytes], item: int) -> int:
    """The item itself if it is no grid."""
    iref = meta.get(b"iref", b"")
    id_bytes = 4 if iref[:1] >= bytes([_LONG_IDS]) else 2
    for kind, body in boxes(iref[_VERSION_BYTES:]):
        if kind == b"dimg" and int.from_bytes(body[:id_bytes], "big") == item:
            return int.from_bytes(body[id_bytes + 2 : 2 * id_bytes + 2], "big")
    return item


def _first_bytes(data: Data, meta: dict[bytes, bytes], item: int) -> bytes:
    """Of the item's first extent; none if it is in another file or made of other items."""
    method, offset, length = _extent(meta.get(b"iloc", b""), item)
    count = min(length or _MOST_CODED_BYTES, _MOST_CODED_BYTES)
    source = {_IN_FILE: data, _IN_META: meta.get(b"idat", b"")}.get(method, b"")
    return bytes(source[offset : offset + count])


def _extent(iloc: bytes, item: int) -> tuple[int, int, int]:
    """Construction method, offset and length of the item's first extent."""
    version = int.from_bytes(iloc[:1], "big")
    sizes = int.from_bytes(iloc[4:6], "big")
    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    id_bytes, method_bytes = 4 if version == 2 else 2, 2 if version else 0
    index_bytes = index_bytes if version else 0
    reader = io.BytesIO(iloc)
    reader.seek(6)
    for _ in range(min(_number(reader, id_bytes), _MOST_BOXES)):
        number, method = _number(reader, id_bytes), _number(reader, method_bytes) & 15
        reader.seek(2, io.SEEK_CUR)  # which file
        base, extents = _number(reader, base_bytes), _number(reader, 2)
        if number == item and extents:
            reader.seek(index_bytes, io.SEEK_CUR)
            return method, base + _number(reader, offset_bytes), _number(reader, length_bytes)
        reader.seek(extents * (index_bytes + offset_bytes + length_bytes), io.SEEK_CUR)
    return _IN_FILE, 0, 0


def _number(reader: io.BytesIO, count: int) -> int:
    return int.from_bytes(reader.read(count), "big")


def _indices(ipma: bytes, item: int) -> list[int]:
    """The numbers, from 1, of the item's properties."""
    reader = io.BytesIO(ipma)
    id_bytes = 4 if _number(reader, 1) >= _LONG_IDS else 2
    index_bytes = 2 if _number(reader, 3) & _LONG_INDICES else 1
    for _ in range(min(_number(reader, 4), _MOST_BOXES)):
        number, count = _number(reader, id_bytes), _number(reader, 1)
        if number == item:
            return [_number(reader, index_bytes) & (0x7FFF if index_bytes == 2 else 0x7F) for _ in range(count)]
        reader.seek(count * index_bytes, io.SEEK_CUR)
    return []
