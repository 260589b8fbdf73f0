"""The metadata that a result keeps of its source. Called by ``pipeline``; ``embed`` writes it into the file.

A broken block, or one of more than ``MOST_BYTES``, is dropped: the picture matters more. A format without EXIF or IPTC
gets their copyright and artists in its XMP, if the source's XMP has none.
"""

import struct
from typing import NamedTuple

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import vips
from imgserve.imaging.worker.formats import heif, jpegheader
from imgserve.imaging.worker.metadata import exif, iptc, xmp
from imgserve.imaging.worker.metadata.credit import Credit
from imgserve.imaging.worker.metadata.exif import Exif
from imgserve.imaging.worker.picture import Picture
from imgserve.imaging.worker.source import Data
from imgserve.request.encode import Encode, Format
from imgserve.request.imageinfo import Size

MOST_BYTES = 65_500  # the longest that a JPEG's segment holds
_EXIF_ITEM, _XMP_ITEM = b"Exif", b"mime"
_ITEM_OF_HEIC = {"exif-data": _EXIF_ITEM, "xmp-data": _XMP_ITEM}
_WITHOUT_EXIF: frozenset[Format] = frozenset({"gif"})
_WITHOUT_IPTC: frozenset[Format] = frozenset({"png", "webp", "gif", "avif"})
_BROKEN = (struct.error, IndexError, ValueError, KeyError, OverflowError)


class Blocks(NamedTuple):
    """``iptc`` are bare datasets, ``xmp`` is a packet; empty ones are not written."""

    exif: Exif | None = None
    iptc: bytes = b""
    xmp: bytes = b""


def of(picture: Picture, encode: Encode, output_format: Format, size: Size) -> Blocks:
    """For a result of this size. Raises SourceUnreadable."""
    if encode.metadata == "none" or picture.format == "svg" or _has_none(picture):
        return Blocks()
    read = read_exif(picture)
    datasets = _read_iptc(picture)
    packet = _field(picture, "xmp-data")
    credit = _credit(packet)
    if encode.metadata == "copyright":
        kept_exif = exif.copyright_only(read) if read is not None else None
        kept_datasets, kept_packet = iptc.copyright_only(datasets), xmp.of(credit) if any(credit) else b""
    else:
        kept_exif = _cleaned_exif(read, encode, size)
        kept_datasets, kept_packet = iptc.cleaned(datasets), _cleaned_packet(packet, encode)
    if not any(credit):
        other = _credit_of_blocks_without_place(read, datasets, output_format)
        kept_packet = xmp.of(other) if any(other) else kept_packet
    return Blocks(
        kept_exif if output_format not in _WITHOUT_EXIF else None,
        iptc.bare(kept_datasets) if output_format not in _WITHOUT_IPTC else b"",
        kept_packet if len(kept_packet) <= MOST_BYTES else b"",  # its escapes may have made it longer
    )


def _has_none(picture: Picture) -> bool:
    """Whether a plain JPEG or WebP certainly has none. libvips takes ten times as long to look."""
    if picture.plain_webp is not None:
        return not picture.plain_webp.has_metadata
    return picture.plain_jpeg is not None and not jpegheader.has_metadata(picture.data)


def _field(picture: Picture, name: str) -> bytes:
    """A block by libvips' name; empty if there is none, or if it is too long."""
    if picture.rare is not None:
        return _item(picture.data, _ITEM_OF_HEIC[name]) if picture.format == "heic" and name in _ITEM_OF_HEIC else b""
    header = picture.header
    value = bytes(header.get(name)) if vips.has(header, name) else b""
    return value if len(value) <= MOST_BYTES else b""


def _item(data: Data, kind: bytes) -> bytes:
    try:
        file = heif.read(data)
        items = (item for item in file.items.values() if item.kind == kind)
        item = next((one for one in items if sum(length for _, length in one.parts) <= MOST_BYTES), None)
        payload = heif.payload(data, file, item) if item is not None else b""
    except SourceUnreadable:
        return b""
    # Exif's first four bytes are the offset of its TIFF header (ISO 23008-12, annex A).
    return payload[4 + int.from_bytes(payload[:4], "big") :] if kind == _EXIF_ITEM else payload


def read_exif(picture: Picture) -> Exif | None:
    """A TIFF's own directory has the fields of EXIF."""
    block = _field(picture, "exif-data").removeprefix(exif.PREFIX)
    try:
        return exif.read(block or picture.data) if block or picture.format == "tiff" else None
    except _BROKEN:
        return None


def _read_iptc(picture: Picture) -> tuple[iptc.Dataset, ...]:
    try:
        return iptc.read(_field(picture, "iptc-data"))
    except _BROKEN:
        return ()


def _credit(packet: bytes) -> Credit:
    try:
        return xmp.credit(packet) if packet else Credit()
    except xmp.XmpUnreadable:
        return Credit()


def _cleaned_packet(packet: bytes, encode: Encode) -> bytes:
    try:
        return xmp.cleaned(packet, keep_position=encode.keep_position) if packet else b""
    except xmp.XmpUnreadable:
        return b""


def _cleaned_exif(read: Exif | None, encode: Encode, size: Size) -> Exif | None:
    if read is None:
        return None
    kept = exif.cleaned(read, size, encode.profile, keep_position=encode.keep_position)
    return kept if kept.main or kept.photo or kept.position else None


def _credit_of_blocks_without_place(
    read: Exif | None, datasets: tuple[iptc.Dataset, ...], output_format: Format
) -> Credit:
    credit = iptc.credit(datasets) if output_format in _WITHOUT_IPTC else Credit()
    if any(credit) or read is None or output_format not in _WITHOUT_EXIF:
        return credit
    return exif.credit(read)
