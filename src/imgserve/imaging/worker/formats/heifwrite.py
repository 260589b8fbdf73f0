"""A HEIF file of given items and nothing else, for libheif. Called by heic.

A stranger's file has boxes of dozens of kinds, and libheif reads every one; it gets these few instead. Boxes: ISO
14496-12, sections 4.2, 4.3 and 8.11.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from imgserve.imaging.worker.formats.heif import Property

_PRIMARY = 1
_HIDDEN = 1
_ESSENTIAL = 0x8000
_LONG_INDICES = 1
_DECODED_BY = b"hvcC"


class Part(NamedTuple):
    """An item of the new file. ``made_of`` and ``belongs_to`` count the parts from 0."""

    kind: bytes
    properties: tuple[Property, ...]
    payload: bytes
    made_of: tuple[int, ...] = ()
    belongs_to: int | None = None
    is_multiplied: bool = False


def written(parts: Sequence[Part]) -> bytes:
    """The file; the first part is its picture, the others are hidden."""
    front = _box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    # The positions have the same length whatever they are, so a first writing tells where the payloads begin.
    begin = len(front) + len(_meta(parts, 0)) + 8
    return b"".join([front, _meta(parts, begin), _box(b"mdat", *(part.payload for part in parts))])


def _meta(parts: Sequence[Part], begin: int) -> bytes:
    return _full_box(
        b"meta", 0, 0,
        _full_box(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
        _full_box(b"pitm", 0, 0, struct.pack(">H", _PRIMARY)),
        _places(parts, begin), _kinds(parts), _references(parts), _properties(parts),
    )  # fmt: skip


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _places(parts: Sequence[Part], begin: int) -> bytes:
    entries = [struct.pack(">BBH", 0x44, 0, len(parts))]  # positions and lengths of four bytes, no base
    for number, part in enumerate(parts, 1):
        entries.append(struct.pack(">HHHII", number, 0, 1, begin, len(part.payload)))
        begin += len(part.payload)
    return _full_box(b"iloc", 0, 0, *entries)


def _kinds(parts: Sequence[Part]) -> bytes:
    infos = [
        _full_box(b"infe", 2, 0 if number == _PRIMARY else _HIDDEN, struct.pack(">HH4sB", number, 0, part.kind, 0))
        for number, part in enumerate(parts, 1)
    ]
    return _full_box(b"iinf", 0, 0, struct.pack(">H", len(infos)), *infos)


def _references(parts: Sequence[Part]) -> bytes:
    boxes = []
    for number, part in enumerate(parts, 1):
        if part.made_of:
            boxes.append(_reference(b"dimg", number, *(at + 1 for at in part.made_of)))
        if part.belongs_to is not None:
            boxes.append(_reference(b"auxl", number, part.belongs_to + 1))
            if part.is_multiplied:
                boxes.append(_reference(b"prem", part.belongs_to + 1, number))
    return _full_box(b"iref", 0, 0, *boxes) if boxes else b""


def _reference(kind: bytes, number: int, *others: int) -> bytes:
    return _box(kind, struct.pack(f">HH{len(others)}H", number, len(others), *others))


def _properties(parts: Sequence[Part]) -> bytes:
    """Equal ones once: a grid's tiles share theirs."""
    known: dict[Property, int] = {}
    owners = [struct.pack(">I", len(parts))]
    for number, part in enumerate(parts, 1):
        indices = [
            known.setdefault(entry, len(known) + 1) | (_ESSENTIAL if entry[0] == _DECODED_BY else 0)
            for entry in part.properties
        ]
        owners.append(struct.pack(f">HB{len(indices)}H", number, len(indices), *indices))
    container = _box(b"ipco", *(_box(kind, body) for kind, body in known))
    return _box(b"iprp", container, _full_box(b"ipma", 0, _LONG_INDICES, *owners))
