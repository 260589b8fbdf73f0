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
from imgserve.imaging.worker.formats.av1 import Sequence
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
    """``size`` as stored; ``orientation`` is EXIF's number; ``is_deep``: of more than 8 bits."""

    size: Size
    orientation: int
    has_alpha: bool
    is_deep: bool


def read(data: Data) -> Header | None:
    """None if libvips has to read it."""
    if _FILM in bytes(data[: min(int.from_bytes(data[:4], "big"), _MOST_BRANDS_BYTES)]):
        return None
    try:
        file = heif.read(data)
        colours = file.item(file.primary)
        alpha = [file.item(number) for number in _alpha(file)]
        sequences = [_plain(data, file, item) for item in (colours, *alpha)]
    except SourceUnreadable:
        return None
    first = sequences[0]
    if first is None or len(alpha) > 1 or file.referred(b"prem", file.primary):
        return None
    if any(one is None or (one.size, one.is_deep) != (first.size, first.is_deep) for one in sequences):
        return None
    return Header(first.size, turns.orientation(colours.properties), bool(alpha), first.is_deep)


def is_multiplied(data: Data) -> bool:
    """Whether the colours are multiplied by their alpha, which libvips leaves as they are."""
    try:
        file = heif.read(data)
    except SourceUnreadable:
        return False
    return bool(file.referred(b"prem", file.primary))


def _alpha(file: File) -> list[int]:
    return [
        reference.item
        for reference in file.references
        if reference.kind == b"auxl"
        and file.primary in reference.others
        and any(_ALPHA in body for body in file.item(reference.item).all_of(b"auxC"))
    ]


def _plain(data: Data, file: File, item: Item) -> Sequence | None:
    """None for a picture that is not plain. Raises SourceUnreadable."""
    kinds = [kind for kind, _ in item.properties]
    stated = item.one_of(b"ispe")
    is_known = item.kind == _CODED and _KNOWN.issuperset(kinds) and kinds.count(b"ispe") == 1
    if not is_known or len(stated) != _ISPE_BYTES:
        return None
    sequence = av1.still(heif.payload(data, file, item))
    size = Size(*struct.unpack(">II", stated[4:]))
    return sequence if sequence is not None and sequence.size == size else None
