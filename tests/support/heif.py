"""HEIC files with odd boxes, made by changing real ones. For tests; nothing here comes from imgserve."""

import io
import struct
from collections.abc import Iterator

import pillow_heif
from PIL import Image

Box = tuple[bytes, int, int]
"""Kind, and where the box begins and ends."""
_INNER = {b"meta": 12, b"iprp": 8, b"ipco": 8, b"iref": 12}


def encoded(image: Image.Image, **options: object) -> bytes:
    """By pillow-heif; ``tile_size`` makes a grid."""
    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, **{"quality": 95, **options})
    return out.getvalue()


def deep(image: Image.Image, **options: object) -> bytes:
    """Of 10 bits a sample."""
    out = io.BytesIO()
    wide = b"".join(struct.pack("<H", value * 257) for value in image.tobytes())
    pillow_heif.from_bytes("RGB;16", image.size, wide).save(out, **{"quality": 100, "chroma": 444, **options})
    return out.getvalue()


def boxes(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[Box]:
    """All boxes, outer ones first."""
    end = len(data) if end is None else end
    while begin + 8 <= end:
        size = struct.unpack_from(">I", data, begin)[0] or end - begin
        kind = data[begin + 4 : begin + 8]
        yield kind, begin, begin + size
        if kind in _INNER:
            yield from boxes(data, begin + _INNER[kind], begin + size)
        begin += size


def place(data: bytes, wanted: bytes, number: int = 0) -> Box:
    return [box for box in boxes(data) if box[0] == wanted][number]


def changed(data: bytes, kind: bytes, at: int, new: bytes, number: int = 0) -> bytes:
    """With other bytes in a box of this kind, ``at`` counted from its contents."""
    _, begin, _ = place(data, kind, number)
    begin += 8 + at
    return data[:begin] + new + data[begin + len(new) :]


def renamed(data: bytes, kind: bytes, new: bytes, number: int = 0) -> bytes:
    return changed(data, kind, -4, new, number)


def with_property(data: bytes, kind: bytes, body: bytes) -> bytes:
    """With one more property of the only item, behind its others."""
    box = struct.pack(">I4s", 8 + len(body), kind) + body
    _, begin, _ = place(data, b"ipma")
    count_at = begin + 8 + 4 + 4 + 2
    index = sum(1 for name, at, _ in boxes(data) if place(data, b"ipco")[1] < at < place(data, b"ipco")[2])
    count = data[count_at]
    new = data[:count_at] + bytes([count + 1]) + data[count_at + 1 : count_at + 1 + count] + bytes([index + 1])
    new += data[count_at + 1 + count :]
    _, _, behind = place(data, b"ipco")
    new = new[:behind] + box + new[behind:]
    grown = {b"ipma": 1, b"ipco": len(box), b"iprp": len(box) + 1, b"meta": len(box) + 1}
    for name, more in grown.items():
        at = place(data, name)[1] + (len(box) if name == b"ipma" else 0)
        size = struct.unpack_from(">I", new, at)[0] + more
        new = new[:at] + struct.pack(">I", size) + new[at + 4 :]
    return _moved(new, len(box) + 1)


def _moved(data: bytes, by: int) -> bytes:
    """With the positions in ``iloc`` (version 0, four bytes each and a base, one part an item) that much later."""
    _, begin, _ = place(data, b"iloc")
    count = struct.unpack_from(">H", data, begin + 14)[0]
    for number in range(count):
        at = begin + 16 + 18 * number + 4
        (base,) = struct.unpack_from(">I", data, at)
        data = data[:at] + struct.pack(">I", base + by) + data[at + 4 :]
    return data
