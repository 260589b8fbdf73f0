"""The boxes of an AVIF with its colours, which libheif does not pass on, and its end. For colournumbers and ending.

ISO 14496-12, sections 4.2, 8.11 and 12.1.5; ISO 23008-12, section 9.3 (which property belongs to which item).
"""

import mmap
from collections.abc import Iterator
from typing import NamedTuple

Data = bytes | mmap.mmap

_MOST_BOXES = 1000
_MOST_BYTES = 1_000_000  # of ``meta``: a picture's description is short, only a profile in it may be long
_HEADER_BYTES, _LONG_HEADER_BYTES, _VERSION_BYTES = 8, 16, 4
_LONG_IDS, _LONG_INDICES = 1, 1


class Box(NamedTuple):
    kind: bytes
    body: bytes


def colour_boxes(data: Data) -> list[bytes]:
    """The bodies of the ``colr`` boxes of the primary picture; none where the boxes make no sense."""
    meta = next((box.body[_VERSION_BYTES:] for box in _boxes(data) if box.kind == b"meta"), b"")
    within = {box.kind: box.body for box in _boxes(meta)}
    properties = {box.kind: box.body for box in _boxes(within.get(b"iprp", b""))}
    known = list(_boxes(properties.get(b"ipco", b"")))
    pitm = within.get(b"pitm", b"")
    wanted = _owned(properties.get(b"ipma", b""), int.from_bytes(pitm[_VERSION_BYTES:], "big"))
    return [known[at - 1].body for at in wanted if 0 < at <= len(known) and known[at - 1].kind == b"colr"]


def is_whole(data: Data) -> bool:
    """Whether the outermost boxes end where the file does, or before."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at + _HEADER_BYTES > len(data):
            break
        size = int.from_bytes(data[at : at + 4], "big")
        at += int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size or len(data) - at
    return at <= len(data)


def _boxes(data: Data) -> Iterator[Box]:
    at = 0
    for _ in range(_MOST_BOXES):
        if at + _HEADER_BYTES > len(data):
            return
        size, header = int.from_bytes(data[at : at + 4], "big"), _HEADER_BYTES
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), _LONG_HEADER_BYTES
        elif size == 0:
            size = len(data) - at
        if size < header:
            return
        yield Box(bytes(data[at + 4 : at + 8]), bytes(data[at + header : at + min(size, _MOST_BYTES)]))
        at += size


def _owned(ipma: bytes, item: int) -> list[int]:
    """The indices, from 1, of this item's properties."""
    version, flags = ipma[:1], int.from_bytes(ipma[1:4], "big")
    count, at = int.from_bytes(ipma[4:8], "big"), 8
    id_bytes = 4 if version >= bytes([_LONG_IDS]) else 2
    index_bytes = 2 if flags & _LONG_INDICES else 1
    for _ in range(min(count, _MOST_BOXES)):
        found = int.from_bytes(ipma[at : at + id_bytes], "big")
        number = int.from_bytes(ipma[at + id_bytes : at + id_bytes + 1], "big")
        at += id_bytes + 1
        if found == item:
            parts = (ipma[at + n * index_bytes : at + (n + 1) * index_bytes] for n in range(number))
            return [int.from_bytes(part, "big") & (0x7FFF if index_bytes == 2 else 0x7F) for part in parts]
        at += number * index_bytes
    return []
