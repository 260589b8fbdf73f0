"""Reads the header of a plain AVIF, which ``dav1d`` may decode in a quarter of the time that libvips needs. Called by
``picture``.

The file is checked as far as a decoder's memory depends on it: each coded picture is one still frame of the size that
the file states. An unusual AVIF is left to libvips, and so is one that is broken. AV1 Image File Format, sections 2 to
4; ISO 23008-12, sections 6.5 (properties) and 6.6.2.1 (alpha).
"""

import struct
from typing import NamedTuple

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker.formats import av1, heif, turns
from imgserve.imaging.worker.formats.heif import File, Item
from imgserve.imaging.worker.source import Data
from imgserve.request.imageinfo import Size

_CODED, _FILM = b"av01", b"avis"
_ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"
# Of others a decoder would crop, choose a layer or scale its light.
_KNOWN = frozenset({b"av1C", b"ispe", b"pixi", b"colr", b"irot", b"imir", b"auxC", b"pasp"})
_MOST_BRANDS_BYTES = 256
_ISPE_BYTES = 12


class Header(NamedTuple):
    """Of 8 bits. ``size`` as stored; ``orientation`` is EXIF's number."""

    size: Size
    orientation: int
    has_alpha: bool


def read(data: Data) -> Header | None:
    """None if libvips has to read it."""
    if _FILM in bytes(data[: min(int.from_bytes(data[:4], "big"), _MOST_BRANDS_BYTES)]):
        return None
    try:
        file = heif.read(data)
        colours = file.item(file.primary)
        alpha = [file.item(number) for number in _alpha(file)]
        sizes = [_plain_size(data, file, item) for item in (colours, *alpha)]
    except SourceUnreadable:
        return None
    size = sizes[0]
    is_plain = len(alpha) <= 1 and all(one == size for one in sizes) and not file.referred(b"prem", file.primary)
    if size is None or not is_plain:
        return None
    return Header(size, turns.orientation(colours.properties), bool(alpha))


def _alpha(file: File) -> list[int]:
    return [
        reference.item
        for reference in file.references
        if reference.kind == b"auxl"
        and file.primary in reference.others
        and any(_ALPHA in body for body in file.item(reference.item).all_of(b"auxC"))
    ]


def _plain_size(data: Data, file: File, item: Item) -> Size | None:
    """None for a picture that is not plain. Raises SourceUnreadable."""
    kinds = [kind for kind, _ in item.properties]
    stated = item.one_of(b"ispe")
    is_known = item.kind == _CODED and _KNOWN.issuperset(kinds) and kinds.count(b"ispe") == 1
    if not is_known or len(stated) != _ISPE_BYTES:
        return None
    sequence = av1.still(heif.payload(data, file, item))
    size = Size(*struct.unpack(">II", stated[4:]))
    return size if sequence is not None and not sequence.is_deep and sequence.size == size else None
