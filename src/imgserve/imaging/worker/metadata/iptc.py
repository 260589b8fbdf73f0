"""Reads IPTC's datasets out of a Photoshop block, and writes those that a result keeps. Called by ``kept``.

IPTC-NAA Information Interchange Model 4.2, sections 1.5, 1.6 and 6; Adobe Photoshop File Formats, image resources.
"""

from collections.abc import Iterator
from typing import NamedTuple

from imgserve.imaging.worker.metadata.credit import Credit

PREFIX = b"Photoshop 3.0\0"
_RESOURCE, _IPTC = b"8BIM", 0x0404
_MARKER, _LONGEST = 0x1C, 0x7FFF  # of a dataset of standard length
_ENVELOPE, _APPLICATION = 1, 2
_CHARSET, _UTF_8 = (_ENVELOPE, 90), b"\x1b%G"
_BY_LINE, _COPYRIGHT = (_APPLICATION, 80), (_APPLICATION, 116)
_PREVIEW = range(200, 203)
_MOST_SETS = 500
_MOST_TEXT_BYTES = 2000


class Dataset(NamedTuple):
    record: int
    number: int
    value: bytes


def read(block: bytes) -> tuple[Dataset, ...]:
    """Of a Photoshop block, or of bare datasets; empty for anything else."""
    return tuple(_datasets(_resource(block) if block.startswith(PREFIX) else block))


def copyright_only(datasets: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
    """By-lines and copyright notice, with the character set that they are written in."""
    kept = tuple(
        one._replace(value=one.value[:_MOST_TEXT_BYTES])
        for one in datasets
        if (one.record, one.number) in (_BY_LINE, _COPYRIGHT) and one.value.strip()
    )
    charset = tuple(one for one in datasets if (one.record, one.number) == _CHARSET)[:1]
    return charset + kept if kept else ()


def cleaned(datasets: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
    """All but the preview, and the records of the picture's own data (7 and above)."""
    return tuple(
        one for one in datasets if one.record < 7 and not (one.record == _APPLICATION and one.number in _PREVIEW)
    )


def credit(datasets: tuple[Dataset, ...]) -> Credit:
    charset = "utf-8" if any(one[:2] == _CHARSET and one.value == _UTF_8 for one in datasets) else "latin-1"
    found = {
        wanted: [one.value[:_MOST_TEXT_BYTES].decode(charset, "replace") for one in datasets if one[:2] == wanted]
        for wanted in (_COPYRIGHT, _BY_LINE)
    }
    return Credit("".join(found[_COPYRIGHT][:1]), tuple(found[_BY_LINE]))


def bare(datasets: tuple[Dataset, ...]) -> bytes:
    """The datasets one behind the other, as in TIFF."""
    return b"".join(
        bytes((_MARKER, one.record, one.number)) + len(one.value).to_bytes(2, "big") + one.value for one in datasets
    )


def photoshop(datasets: bytes) -> bytes:
    """A Photoshop block with nothing but these datasets, as in JPEG."""
    header = _RESOURCE + _IPTC.to_bytes(2, "big") + b"\0\0" + len(datasets).to_bytes(4, "big")
    return PREFIX + header + datasets + bytes(len(datasets) % 2)


def _resource(block: bytes) -> bytes:
    at = len(PREFIX)
    while block[at : at + 4] == _RESOURCE:
        kind = int.from_bytes(block[at + 4 : at + 6], "big")
        name_bytes = 1 + block[at + 6] if at + 6 < len(block) else 1
        at += 6 + name_bytes + name_bytes % 2
        length = int.from_bytes(block[at : at + 4], "big")
        if kind == _IPTC:
            return block[at + 4 : at + 4 + length]
        at += 4 + length + length % 2
    return b""


def _datasets(data: bytes) -> Iterator[Dataset]:
    at = 0
    for _ in range(_MOST_SETS):
        if at + 5 > len(data) or data[at] != _MARKER:
            return
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        value = data[at + 5 : at + 5 + length]
        if length > _LONGEST or len(value) < length:
            return
        yield Dataset(data[at + 1], data[at + 2], value)
        at += 5 + length
