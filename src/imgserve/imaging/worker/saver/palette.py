"""The colours of a palette. libvips quantises to a power of two; a PNG of any other number is merged from 256.

Called by ``save`` and ``settings``. PNG third edition, sections 5, 9.2 (filters), 11.2 and 11.3.1 (tRNS). A merge joins
the two colours whose union adds the least squared error, counted by pixels (Ward's method).
"""

import heapq
import itertools
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LARGEST_PACKED = 16  # colours in a PNG with several pixels in a byte: 2, 4 or 16
_MOST = 256
_OPAQUE = 255
_PIXELS_COUNTED = 1_000_000  # more would tell no more of how often a colour occurs


class _Group(NamedTuple):
    """Palette entries merged into one colour: its premultiplied mean, the pixels, and the entries."""

    mean: tuple[float, float, float, float]
    pixels: int
    members: tuple[int, ...]


def png_bits(colors: int) -> int:
    """The depth of libvips' palette: its largest that is not beyond ``colors``, or 8 for one to be merged."""
    if colors > _LARGEST_PACKED:
        return 8
    return next(bits for bits in (4, 2, 1) if 1 << bits <= colors)


def gif_bits(colors: int) -> int:
    return colors.bit_length() - 1


def needs_merge(colors: int) -> bool:
    return _LARGEST_PACKED < colors < _MOST


def merged(png: bytes, colors: int, compression: int) -> bytes:
    """The same palette PNG of 8 bits, whose rows have no filter, with at most ``colors``."""
    chunks = list(_chunks(png))
    body = dict(chunks)
    rows = zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT"))
    palette, alphas = body[b"PLTE"], body.get(b"tRNS", b"")
    entries = [
        (*palette[3 * n : 3 * n + 3], alphas[n] if n < len(alphas) else _OPAQUE) for n in range(len(palette) // 3)
    ]
    counted = rows[:: len(rows) // _PIXELS_COUNTED + 1]
    groups = _merged(
        [_Group(_premultiplied(entry), max(1, counted.count(n)), (n,)) for n, entry in enumerate(entries)], colors
    )
    # In this order entry 0 keeps its number, and so do the rows' filter bytes, which are 0.
    groups.sort(key=lambda group: min(group.members))
    table = bytearray(_MOST)
    for number, group in enumerate(groups):
        for member in group.members:
            table[member] = number
    shown = [_straight(group.mean) for group in groups]
    parts = [_SIGNATURE, _chunk(b"IHDR", body[b"IHDR"])]
    parts += [_chunk(b"iCCP", body[b"iCCP"])] if b"iCCP" in body else []
    parts += [_chunk(b"PLTE", b"".join(bytes(one[:3]) for one in shown))]
    if alphas:
        parts.append(_chunk(b"tRNS", bytes(one[3] for one in shown)))
    parts += [_chunk(b"IDAT", zlib.compress(rows.translate(table), compression)), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _merged(groups: list[_Group], most: int) -> list[_Group]:
    alive = dict(enumerate(groups))
    pairs = [(_cost(alive[a], alive[b]), a, b) for a in alive for b in range(a)]
    heapq.heapify(pairs)
    numbers = itertools.count(len(groups))
    while len(alive) > most:
        _, a, b = heapq.heappop(pairs)
        if a not in alive or b not in alive:
            continue
        one, other, number = alive.pop(a), alive.pop(b), next(numbers)
        pixels = one.pixels + other.pixels
        red, green, blue, alpha = (
            (x * one.pixels + y * other.pixels) / pixels for x, y in zip(one.mean, other.mean, strict=True)
        )
        union = _Group((red, green, blue, alpha), pixels, one.members + other.members)
        for key, group in alive.items():
            heapq.heappush(pairs, (_cost(union, group), number, key))
        alive[number] = union
    return list(alive.values())


def _cost(one: _Group, other: _Group) -> float:
    (r, g, b, a), n, _ = one
    (s, h, c, o), m, _ = other
    r, g, b, a = r - s, g - h, b - c, a - o  # without a loop, since a palette of 256 has 33,000 pairs
    return (r * r + g * g + b * b + a * a) * n * m / (n + m)


def _premultiplied(entry: tuple[int, ...]) -> tuple[float, float, float, float]:
    red, green, blue, alpha = entry
    return red * alpha / _OPAQUE, green * alpha / _OPAQUE, blue * alpha / _OPAQUE, alpha


def _straight(mean: tuple[float, float, float, float]) -> tuple[int, ...]:
    *colour, alpha = mean
    return (*(round(value * _OPAQUE / alpha) if alpha else 0 for value in colour), round(alpha))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
