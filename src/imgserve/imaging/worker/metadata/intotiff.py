"""Writes metadata into a TIFF: a new directory at its end takes the place of the first. Called by ``embed``.

TIFF 6.0, section 2; XMP and IPTC: XMP part 3, section 1.1.8. The entries of the old directory are copied with their
addresses, which stay valid.
"""

import struct

from imgserve.imaging.worker.metadata import exif
from imgserve.imaging.worker.metadata.exif import Directory, Entry, Exif, Order

_XMP, _IPTC = 0x02BC, 0x83BB
_BYTE, _UNDEFINED = 1, 7
_FIRST_AT, _ENTRY_BYTES = 4, 12


def embedded(file: bytes, kept: Exif | None, iptc: bytes, xmp: bytes) -> bytes:
    """The same TIFF, unless it is a BigTIFF, which is returned as it is."""
    order: Order = "little" if file[:2] == b"II" else "big"
    if int.from_bytes(file[2:4], order) != 42:
        return file
    fields = exif.in_order(kept, order) if kept is not None else Exif(order, {})
    own = _entries(file, order)
    main = {**fields.main, **own}
    main |= {_IPTC: Entry(_UNDEFINED, len(iptc), iptc)} if iptc else {}
    main |= {_XMP: Entry(_BYTE, len(xmp), xmp)} if xmp else {}
    start = len(file) + len(file) % 2
    directory = exif.directories(fields._replace(main=main, note_at=0), start)
    head = file[:_FIRST_AT] + start.to_bytes(4, order)
    return b"".join((head, file[len(head) :], bytes(start - len(file)), directory))


def _entries(file: bytes, order: Order) -> Directory:
    """Of the first directory; each value is the four bytes in the table, an address or the value itself."""
    at = int.from_bytes(file[_FIRST_AT : _FIRST_AT + 4], order)
    count = int.from_bytes(file[at : at + 2], order)
    form = ("<" if order == "little" else ">") + "HHI4s"
    table = struct.iter_unpack(form, file[at + 2 : at + 2 + _ENTRY_BYTES * count])
    return {tag: Entry(kind, values, value) for tag, kind, values, value in table}
