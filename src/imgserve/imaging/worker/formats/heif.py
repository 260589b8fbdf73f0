"""The items of a HEIF file, as its ``meta`` box lists them: kinds, properties, references and places. Called by heic.

ISO 14496-12, section 8.11 (``iinf``, ``iloc``, ``iref``, ``iprp``); ISO 23008-12, sections 6 and 9.3. Only the
description is read here, never a picture.
"""

import io
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker.formats import isobmff
from imgserve.imaging.worker.source import Data

# More are ignored. A phone's picture of 48 megapixels has some 250, with its map of brightness.
MOST_ITEMS = 1000
_MOST_PARTS = 4000  # of all items together: a camera writes one each
_VERSION_BYTES, _FLAGS = 4, 1
_IN_FILE, _IN_META = 0, 1  # construction methods of an item
_INFO_OF_SHORT_IDS, _INFO_OF_LONG_IDS = 2, 3

Property = tuple[bytes, bytes]  # kind and body of a box


class Item(NamedTuple):
    """``kind``: hvc1, grid, Exif ...; ``parts``: offsets and lengths, in the file or (``is_inside``) in ``idat``."""

    kind: bytes
    properties: tuple[Property, ...]
    is_inside: bool
    parts: tuple[tuple[int, int], ...]

    def all_of(self, kind: bytes) -> list[bytes]:
        return [body for name, body in self.properties if name == kind]

    def one_of(self, kind: bytes) -> bytes:
        """The first property of this kind. Raises SourceUnreadable."""
        for body in self.all_of(kind):
            return body
        raise broken(f"its picture has no {kind.decode('ascii')} box")


class Reference(NamedTuple):
    """``kind``: dimg (made of), auxl (belongs to), prem (is multiplied with) ..."""

    kind: bytes
    item: int
    others: tuple[int, ...]


class File(NamedTuple):
    primary: int
    items: dict[int, Item]
    references: tuple[Reference, ...]
    idat: bytes

    def item(self, number: int) -> Item:
        """Raises SourceUnreadable."""
        item = self.items.get(number)
        if item is None:
            raise broken("lacks a picture that it refers to")
        return item

    def referred(self, kind: bytes, number: int) -> tuple[int, ...]:
        """The items that this one refers to."""
        return next((ref.others for ref in self.references if (ref.kind, ref.item) == (kind, number)), ())


def broken(what: str) -> SourceUnreadable:
    return SourceUnreadable(f"the source looks like HEIC but {what}", "save it anew with an image editor")


def read(data: Data) -> File:
    """Raises SourceUnreadable."""
    meta = dict(isobmff.boxes(_meta(data)))
    kinds = dict(_kinds(meta.get(b"iinf", b"")))
    properties = dict(isobmff.boxes(meta.get(b"iprp", b"")))
    known = dict(enumerate(isobmff.boxes(properties.get(b"ipco", b"")), 1))
    owned = dict(_indices(properties.get(b"ipma", b"")))
    places = dict(_places(meta.get(b"iloc", b"")))
    items = {
        number: Item(
            kind,
            tuple(known[index] for index in owned.get(number, ()) if index in known),
            *places.get(number, (False, ())),
        )
        for number, kind in kinds.items()
    }
    primary = int.from_bytes(meta.get(b"pitm", b"")[_VERSION_BYTES:], "big")
    return File(primary, items, tuple(_references(meta.get(b"iref", b""))), meta.get(b"idat", b""))


def length(items: Iterable[Item]) -> int:
    """Of their bytes together."""
    return sum(length for item in items for _, length in item.parts)


def payload(data: Data, file: File, item: Item) -> bytes:
    """The item's bytes. Raises SourceUnreadable for one that is not whole."""
    source = file.idat if item.is_inside else data
    if length((item,)) > len(source):  # parts may lie one over the other
        raise SourceUnreadable("the source is a HEIC that is cut off", "check that the file is complete")
    parts = [bytes(source[offset : offset + length]) for offset, length in item.parts]
    if not parts or any(len(part) != length for part, (_, length) in zip(parts, item.parts, strict=True)):
        raise SourceUnreadable("the source is a HEIC that is cut off", "check that the file is complete")
    return b"".join(parts)


def _meta(data: Data) -> bytes:
    for at, body, end in islice(isobmff.places(data), isobmff.FLOOD_OF_BOXES):
        if data[at + 4 : at + 8] == b"meta":
            if end > len(data):
                break
            return bytes(data[body + _VERSION_BYTES : end])
    raise broken(f"describes no picture in its first {isobmff.FLOOD_OF_BOXES:,} boxes")


class _Reader(io.BytesIO):
    def number(self, count: int) -> int:
        return int.from_bytes(self.read(count), "big")

    def version(self) -> int:
        """Of a full box; the flags follow."""
        return self.number(1)


def _kinds(iinf: bytes) -> Iterator[tuple[int, bytes]]:
    counted_bytes = 2 if iinf[:1] == b"\0" else 4
    for kind, body in isobmff.boxes(iinf[_VERSION_BYTES + counted_bytes :]):
        version = body[0] if body else 0
        id_bytes = {_INFO_OF_SHORT_IDS: 2, _INFO_OF_LONG_IDS: 4}.get(version)
        if kind == b"infe" and id_bytes is not None:
            begin = _VERSION_BYTES + id_bytes
            yield int.from_bytes(body[_VERSION_BYTES:begin], "big"), body[begin + 2 : begin + 6]


def _indices(ipma: bytes) -> Iterator[tuple[int, list[int]]]:
    """The numbers, from 1, of each item's properties, in their order."""
    reader = _Reader(ipma)
    id_bytes = 4 if reader.version() >= 1 else 2
    index_bytes = 2 if reader.number(3) & _FLAGS else 1
    for _ in range(min(reader.number(4), MOST_ITEMS)):
        number, count = reader.number(id_bytes), reader.number(1)
        yield number, [reader.number(index_bytes) & (0x7FFF if index_bytes == 2 else 0x7F) for _ in range(count)]


def _places(iloc: bytes) -> Iterator[tuple[int, tuple[bool, tuple[tuple[int, int], ...]]]]:
    """Of each item that stands in this file: not in another one, and not made of other items."""
    reader = _Reader(iloc)
    version, sizes = reader.version(), reader.number(5) & 0xFFFF
    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    id_bytes = 4 if version == 2 else 2
    left = _MOST_PARTS
    for _ in range(min(reader.number(id_bytes), MOST_ITEMS)):
        number, method = reader.number(id_bytes), reader.number(2) & 15 if version else _IN_FILE
        is_elsewhere, base, parts = reader.number(2) != 0, reader.number(base_bytes), []
        count = reader.number(2)
        left -= count
        if left < 0:
            raise broken("has more parts than a picture has")
        for _ in range(count):
            reader.number(index_bytes if version else 0)
            parts.append((base + reader.number(offset_bytes), reader.number(length_bytes)))
        if not is_elsewhere and method in (_IN_FILE, _IN_META):
            yield number, (method == _IN_META, tuple(parts))


def _references(iref: bytes) -> Iterator[Reference]:
    id_bytes = 4 if iref[:1] >= b"\1" else 2
    for kind, body in isobmff.boxes(iref[_VERSION_BYTES:]):
        reader = _Reader(body)
        item, count = reader.number(id_bytes), min(reader.number(2), len(body) // id_bytes)
        yield Reference(kind, item, tuple(reader.number(id_bytes) for _ in range(min(count, MOST_ITEMS))))
