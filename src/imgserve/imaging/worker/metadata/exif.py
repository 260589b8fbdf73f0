"""Reads an EXIF block, drops what a result must not have, and writes it anew. Called by ``kept`` and ``intotiff``.

Exif 2.32, section 4.6; TIFF 6.0, section 2. Each directory is rebuilt from its entries, so that nothing outside of them
survives: neither the thumbnail's directory nor bytes in gaps. Values keep the byte order of their block.
"""

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from imgserve.imaging.worker.metadata.credit import Credit
from imgserve.imaging.worker.source import Data
from imgserve.request.encode import Profile
from imgserve.request.imageinfo import Size

Order = Literal["little", "big"]


class Entry(NamedTuple):
    """A field: TIFF's type, the number of values, and all their bytes."""

    kind: int
    values: int
    value: bytes


Directory = Mapping[int, Entry]
_EMPTY: Directory = MappingProxyType({})


class Exif(NamedTuple):
    """The directories of a block. ``note_at``: where the maker note stood, since some of them point into themselves."""

    order: Order
    main: Directory
    photo: Directory = _EMPTY
    interop: Directory = _EMPTY
    position: Directory = _EMPTY
    note_at: int = 0


PREFIX = b"Exif\0\0"
ARTIST, COPYRIGHT, ORIENTATION = 0x013B, 0x8298, 0x0112
PHOTO_POINTER, POSITION_POINTER, _INTEROP_POINTER = 0x8769, 0x8825, 0xA005
_MAKER_NOTE, _COLOUR_SPACE, _WIDTH, _HEIGHT = 0x927C, 0xA001, 0xA002, 0xA003
_SRGB, _UNCALIBRATED = 1, 0xFFFF
_INTEROP_RULE = 0x0001
_ASCII, _SHORT, _LONG, _POINTER = 2, 3, 4, 13
_BYTES_OF_KIND = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 129: 1}
_SAMPLE_OF_KIND = {5: 4, 10: 4}  # a fraction is two numbers
_ORDERS: dict[bytes, Order] = {b"II": "little", b"MM": "big"}
_MOST_ENTRIES = 500
_MOST_VALUE_BYTES = 65_000  # of all entries of a directory, which may lie one over the other
_FARTHEST_NOTE = 60_000
_MOST_TEXT_BYTES = 2000  # of a copyright or an artist
# How the pixels of the source's file are stored, and blocks that have readers of their own: not true of the result.
_OF_THE_FILE = frozenset({
    *range(0x00FE, 0x010B), 0x0111, *range(0x0115, 0x011A), 0x011C, *range(0x0120, 0x0126), 0x0129, 0x012D,
    *range(0x013D, 0x015C), *range(0x0200, 0x0215), 0x02BC, 0x83BB, 0x8649, 0x8773, 0x935C,
})  # fmt: skip


def read(block: Data) -> Exif | None:
    """None for anything but a TIFF structure. Entries that reach beyond the block are left out."""
    order = _ORDERS.get(bytes(block[:2]))
    if order is None or len(block) < 8 or int.from_bytes(block[2:4], order) != 42:
        return None
    main, _ = _directory(block, order, int.from_bytes(block[4:8], order))
    photo, note_at = _directory(block, order, _pointer(main, PHOTO_POINTER, order))
    interop, _ = _directory(block, order, _pointer(photo, _INTEROP_POINTER, order))
    position, _ = _directory(block, order, _pointer(main, POSITION_POINTER, order))
    return Exif(order, main, photo, interop, position, note_at)


def copyright_only(exif: Exif) -> Exif | None:
    """With copyright and artist alone; None without both."""
    kept = {tag: _text(exif.main[tag].value) for tag in (ARTIST, COPYRIGHT) if tag in exif.main}
    main = {tag: Entry(_ASCII, len(text), text) for tag, text in kept.items() if text}
    return Exif(exif.order, main) if main else None


def credit(exif: Exif) -> Credit:
    found = {tag: _text(exif.main[tag].value) for tag in (ARTIST, COPYRIGHT) if tag in exif.main}
    artist, notice = (found.get(tag, b"").rstrip(b"\0").decode("utf-8", "replace") for tag in (ARTIST, COPYRIGHT))
    return Credit(notice.replace("\0", "; "), (artist,) if artist else ())


def cleaned(exif: Exif, size: Size, profile: Profile, *, keep_position: bool) -> Exif:
    """All that is true of the result: upright, of this size, without thumbnails.

    Without ``keep_position`` also without the maker note, in which some cameras store positions.
    """
    own = _without_pointers(exif.main)
    main = {tag: entry for tag, entry in own.items() if tag not in _OF_THE_FILE and entry.kind != _POINTER}
    if ORIENTATION in main:
        main[ORIENTATION] = _number(_SHORT, 1, exif.order)
    photo = _without_pointers(exif.photo)
    for tag, side in ((_WIDTH, size.width_px), (_HEIGHT, size.height_px)):
        if tag in photo:
            photo[tag] = _number(_LONG, side, exif.order)
    interop = exif.interop
    if profile != "source" and _COLOUR_SPACE in photo:
        space = _SRGB if profile == "srgb" else _UNCALIBRATED
        photo[_COLOUR_SPACE] = _number(_SHORT, space, exif.order)
    if profile != "source" and not _is_for_srgb(interop):
        interop = _EMPTY
    if not keep_position:
        photo.pop(_MAKER_NOTE, None)
    return Exif(exif.order, main, photo, interop, exif.position if keep_position else _EMPTY, exif.note_at)


def _is_for_srgb(interop: Directory) -> bool:
    """Not for Adobe RGB, whose rule is R03."""
    rule = interop.get(_INTEROP_RULE)
    return rule is not None and rule.value.startswith(b"R98")


def block(exif: Exif) -> bytes:
    """A TIFF structure, without the prefix."""
    head = _ORDER_MARKS[exif.order] + (42).to_bytes(2, exif.order) + (8).to_bytes(4, exif.order)
    return head + directories(exif, 8)


def directories(exif: Exif, start: int) -> bytes:
    """The main directory and all others, as they stand from ``start`` on; no page follows."""
    main, photo = _without_pointers(exif.main), _without_pointers(exif.photo)
    # The addresses are known once all tables have their entries, so they are first counted with an address of 0.
    nowhere = _number(_LONG, 0, exif.order)
    photo |= {_INTEROP_POINTER: nowhere} if exif.interop else {}
    main |= {PHOTO_POINTER: nowhere} if photo else {}
    main |= {POSITION_POINTER: nowhere} if exif.position else {}
    photo_at = start + _table_bytes(main)
    interop_at = photo_at + _table_bytes(photo)
    position_at = interop_at + _table_bytes(exif.interop)
    for directory, tag, address in (
        (photo, _INTEROP_POINTER, interop_at), (main, PHOTO_POINTER, photo_at), (main, POSITION_POINTER, position_at),
    ):  # fmt: skip
        if tag in directory:
            directory[tag] = _number(_LONG, address, exif.order)
    values = _Values(exif, position_at + _table_bytes(exif.position))
    tables = [_table(directory, exif.order, values) for directory in (main, photo, exif.interop, exif.position)]
    return b"".join(tables) + bytes(values.bytes)


def in_order(exif: Exif, order: Order) -> Exif:
    """The same fields in this byte order, but for a maker note, whose own order nobody can tell."""
    if exif.order == order:
        return exif
    main, photo, interop, position = (
        {tag: _swapped(entry) for tag, entry in directory.items() if tag != _MAKER_NOTE}
        for directory in (exif.main, exif.photo, exif.interop, exif.position)
    )
    return Exif(order, main, photo, interop, position)


_ORDER_MARKS: dict[Order, bytes] = {order: mark for mark, order in _ORDERS.items()}


class _Values:
    """The values behind the directories. The maker note keeps its place, if that lies behind the directories."""

    def __init__(self, exif: Exif, start: int) -> None:
        note = exif.photo.get(_MAKER_NOTE)
        self.start = start
        self.bytes = bytearray()
        self._note_at = exif.note_at if note is not None and start <= exif.note_at <= _FARTHEST_NOTE else 0
        self._note_end = exif.note_at + len(note.value) if note is not None else 0
        self._end = start

    def place(self, tag: int, value: bytes) -> int:
        """The address of the value."""
        at = self._end
        if self._note_at and tag == _MAKER_NOTE:
            at = self._note_at
        elif self._note_at and at < self._note_end and at + len(value) > self._note_at:
            at = self._end = self._note_end + self._note_end % 2
        end = at + len(value) - self.start
        self.bytes.extend(bytes(max(0, end - len(self.bytes))))
        self.bytes[at - self.start : end] = value
        if not (self._note_at and tag == _MAKER_NOTE):
            self._end = at + len(value) + len(value) % 2
        return at


def _directory(block: Data, order: Order, at: int) -> tuple[Directory, int]:
    """The entries, and the address of the maker note among them."""
    entries: dict[int, Entry] = {}
    note_at, left = 0, _MOST_VALUE_BYTES
    if not 0 < at <= len(block) - 2:
        return entries, note_at
    count = min(int.from_bytes(block[at : at + 2], order), _MOST_ENTRIES, (len(block) - at - 2) // 12)
    for place in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from("<HHI" if order == "little" else ">HHI", block, place)
        length = values * _BYTES_OF_KIND.get(kind, 4 if kind == _POINTER else 0)
        begin = place + 8 if length <= 4 else int.from_bytes(block[place + 8 : place + 12], order)
        if 0 < length <= left and begin + length <= len(block):
            left -= length
            entries[tag] = Entry(kind, values, bytes(block[begin : begin + length]))
            note_at = begin if tag == _MAKER_NOTE else note_at
    return entries, note_at


def _pointer(directory: Directory, tag: int, order: Order) -> int:
    entry = directory.get(tag)
    return int.from_bytes(entry.value[:4], order) if entry is not None and entry.kind in (_LONG, _POINTER) else 0


def _without_pointers(directory: Directory) -> dict[int, Entry]:
    pointers = (PHOTO_POINTER, POSITION_POINTER, _INTEROP_POINTER)
    return {tag: entry for tag, entry in directory.items() if tag not in pointers}


def _number(kind: int, value: int, order: Order) -> Entry:
    return Entry(kind, 1, value.to_bytes(_BYTES_OF_KIND[kind], order))


def _table_bytes(directory: Directory) -> int:
    return 2 + 12 * len(directory) + 4 if directory else 0


def _table(directory: Directory, order: Order, values: _Values) -> bytes:
    if not directory:
        return b""
    mark = "<" if order == "little" else ">"
    table = struct.pack(f"{mark}H", len(directory))
    for tag, entry in sorted(directory.items()):
        inline = entry.value.ljust(4, b"\0")
        if len(entry.value) > 4:
            inline = struct.pack(f"{mark}I", values.place(tag, entry.value))
        table += struct.pack(f"{mark}HHI", tag, entry.kind, entry.values) + inline
    return table + bytes(4)


def _swapped(entry: Entry) -> Entry:
    size = _SAMPLE_OF_KIND.get(entry.kind, _BYTES_OF_KIND.get(entry.kind, 4))
    value = b"".join(entry.value[at : at + size][::-1] for at in range(0, len(entry.value), size))
    return entry._replace(value=value)


def _text(value: bytes) -> bytes:
    """With its end mark; empty for a blank one. An editor's copyright may follow a photographer's behind a 0."""
    text = value.rstrip(b"\0")[:_MOST_TEXT_BYTES]
    return text + b"\0" if text.strip(b" \0") else b""
