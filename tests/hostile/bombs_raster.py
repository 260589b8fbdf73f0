"""Raster pictures that are small to send and dear to open. Made when asked for; for ``test_bombs``.

PNG (third edition), JPEG (ITU T.81), GIF89a, WebP (RFC 9649), TIFF 6.0: only what each trick needs of them.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

from imgserve.imaging.worker.formats import heif, heifwrite
from tests.support.pictures import encoded, scene

Maker = Callable[[], bytes]
_WORD, _LONG = 3, 4


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def zeros(size: int) -> bytes:
    """A zlib stream of so many zeros, made without having them all at once."""
    deflate = zlib.compressobj(9)
    parts = [deflate.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join(parts) + deflate.flush()


def png(width: int, height: int, *extra: bytes, data: bytes | None = None, depth: int = 1, colour: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    rows = zlib.compress(bytes(1000)) if data is None else data
    chunks = (chunk(b"IHDR", head), *extra, chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def small_png(*extra: bytes) -> bytes:
    return png(40, 30, *extra, data=zlib.compress(bytes(30 * 41)), depth=8)


def jpeg(width: int, height: int) -> bytes:
    """A real JPEG whose frame header lies about the size."""
    made = bytearray(encoded(scene(40, 30), "jpeg"))
    at = made.index(b"\xff\xc0") + 5
    made[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(made)


def jpeg_of_scans(count: int) -> bytes:
    """A progressive JPEG that repeats a scan."""
    out = io.BytesIO()
    scene(800, 600).save(out, "JPEG", progressive=True)
    made = out.getvalue()
    first = made.index(b"\xff\xda")
    second = min(at for at in (made.find(mark, first + 2) for mark in (b"\xff\xda", b"\xff\xc4")) if at > 0)
    return made[:second] + made[first:second] * count + made[second:]


def jpeg_with_exif(body: bytes) -> bytes:
    made = encoded(scene(40, 30), "jpeg")
    segment = b"Exif\0\0" + body
    return made[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + made[2:]


def exif_loop() -> bytes:
    """A directory whose Exif and GPS directories, and whose next one, are itself."""
    entries = b"".join(struct.pack("<HHII", tag, _LONG, 1, 8) for tag in (0x8769, 0x8825, 0xA005))
    return jpeg_with_exif(b"II*\0" + struct.pack("<IH", 8, 3) + entries + struct.pack("<I", 8))


def exif_giant() -> bytes:
    """An entry that says it has four thousand million values."""
    entry = struct.pack("<HHII", 0x10E, 2, 0xFFFF_FFFF, 8)
    return jpeg_with_exif(b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4))


def gif(width: int, height: int, frames: int, side: int = 1) -> bytes:
    """``frames`` frames of one pixel on a screen of this size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff\xff\xff"
    control = b"\x21\xf9\x04\x04\x05\0\0\0"
    frame = control + b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\0"
    return screen + frame * frames + b"\x3b"


def webp_film(width: int, height: int, frames: int) -> bytes:
    def riff(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)

    def three(number: int) -> bytes:
        return struct.pack("<I", number)[:3]

    still = io.BytesIO()
    Image.new("RGB", (1, 1)).save(still, "WEBP", lossless=True)
    frame = riff(b"ANMF", bytes(6) + bytes(6) + three(50) + b"\0" + still.getvalue()[12:])
    head = riff(b"VP8X", b"\x02" + bytes(3) + three(width - 1) + three(height - 1)) + riff(b"ANIM", bytes(6))
    body = b"WEBP" + head + frame * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_of_chunks(count: int) -> bytes:
    """Small ones that mean nothing, behind a film."""
    body = webp_film(1, 1, 2)[8:] + (b"ABCD" + bytes(4)) * count
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp(width: int, height: int) -> bytes:
    """A lossy WebP whose frame header lies."""
    made = bytearray(encoded(scene(40, 30), "webp"))
    at = made.index(b"\x9d\x01\x2a") + 3
    made[at : at + 4] = struct.pack("<HH", width, height)
    return bytes(made)


def film(name: str, frames: int) -> bytes:
    pictures = [Image.new("RGB", (16, 16), (number % 256, 0, number // 256)) for number in range(frames)]
    out = io.BytesIO()
    pictures[0].save(out, name, save_all=True, append_images=pictures[1:])
    return out.getvalue()


def avif(width: int, height: int) -> bytes:
    made = bytearray(encoded(scene(40, 30), "avif"))
    at = made.index(b"ispe") + 8
    made[at : at + 8] = struct.pack(">II", width, height)
    return bytes(made)


def avif_of_boxes(count: int) -> bytes:
    made = encoded(scene(40, 30), "avif")
    end = int.from_bytes(made[:4], "big")
    return made[:end] + (struct.pack(">I", 8) + b"free") * count + made[end:]


def jpeg_of_segments(count: int) -> bytes:
    made = encoded(scene(40, 30), "jpeg")
    return made[:2] + b"\xff\xe5\x00\x02" * count + made[2:]


def tiff(width: int, height: int, *more: tuple[int, int, int], next_at: int = 0, data: bytes = b"\0") -> bytes:
    """One page, one strip, 8 bits of grey; ``more``: tag, kind, value. The first page stands at 8."""
    given = {
        256: (_LONG, width), 257: (_LONG, height), 258: (_WORD, 8), 259: (_WORD, 1), 262: (_WORD, 1), 273: (_LONG, 0),
        277: (_WORD, 1), 278: (_LONG, height), 279: (_LONG, len(data)),
    }  # fmt: skip
    given |= {tag: (kind, value) for tag, kind, value in more}
    given[273] = (_LONG, 8 + 2 + 12 * len(given) + 4)
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(given.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(given)) + table + struct.pack("<I", next_at) + data


def tiff_of_pages(count: int) -> bytes:
    page = tiff(1, 1)[8:]
    size, parts = len(page), []
    for number in range(count):
        at = 8 + number * size
        made = bytearray(page)
        strips = made.index(struct.pack("<HHI", 273, _LONG, 1)) + 8
        made[strips : strips + 4] = struct.pack("<I", at + size - 1)
        made[-5:-1] = struct.pack("<I", at + size if number < count - 1 else 0)
        parts.append(bytes(made))
    return b"II*\0" + struct.pack("<I", 8) + b"".join(parts)


def flat(width: int, height: int, name: str, mode: str = "1", **options: object) -> bytes:
    """Really all these pixels, of one colour."""
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, name, **options)
    return out.getvalue()


def apng(width: int, height: int, frames: int) -> bytes:
    """An animation whose frames but the first have one pixel."""

    def control(number: int, *sides: int) -> bytes:
        return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, *sides, 0, 0, 1, 10, 0, 0))

    rows, pixel = zeros_of(height * (width + 1)), zlib.compress(bytes(2))
    later = [control(2 * n - 1, 1, 1) + chunk(b"fdAT", struct.pack(">I", 2 * n) + pixel) for n in range(1, frames)]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    counts = chunk(b"acTL", struct.pack(">II", frames, 0))
    parts = (head, counts, control(0, width, height), chunk(b"IDAT", rows), *later, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zeros_of(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def bmp(width: int, height: int) -> bytes:
    """Runs of 255 equal pixels (RLE8)."""
    row = b"\xff\0" * (width // 255) + bytes([width % 255, 0]) * bool(width % 255) + b"\0\0"
    rows = row * height + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 1, 0) + b"\xff\xff\xff\0"
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(rows), 0, 0, 14 + len(head)) + head + rows


def bmp_that_says(width: int, height: int) -> bytes:
    made = encoded(scene(40, 30), "bmp")
    return made[:18] + struct.pack("<ii", width, height) + made[26:]


def ico(*pictures: bytes) -> bytes:
    at, entries = 6 + 16 * len(pictures), []
    for picture in pictures:
        entries.append(struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(picture), at))
        at += len(picture)
    return struct.pack("<HHH", 0, 1, len(pictures)) + b"".join([*entries, *pictures])


def ico_with_itself(count: int) -> bytes:
    """All entries are of one picture."""
    body = encoded(scene(16, 16), "png")
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(body), 6 + 16 * count)
    return struct.pack("<HHH", 0, 1, count) + entry * count + body


def ico_of_shared_bytes(count: int, size_bytes: int) -> bytes:
    """All entries are of one long picture."""
    body = encoded(scene(16, 16), "png") + bytes(size_bytes)
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(body), 6 + 16 * count)
    return struct.pack("<HHH", 0, 1, count) + entry * count + body


def heic(width: int, height: int) -> bytes:
    made = encoded(scene(64, 64), "heic")
    at = made.index(b"ispe") + 8
    return made[:at] + struct.pack(">II", width, height) + made[at + 8 :]


def heic_that_denies_its_size() -> bytes:
    """Boxes of 64 x 64 around 1,024 x 1,024 of HEVC."""
    made = encoded(Image.new("RGB", (1024, 1024)), "heic", quality=10)
    at = made.index(b"ispe") + 8
    return made[:at] + struct.pack(">II", 64, 64) + made[at + 8 :]


def heic_of_boxes(count: int) -> bytes:
    made = encoded(scene(64, 64), "heic")
    end = int.from_bytes(made[:4], "big")
    return made[:end] + (struct.pack(">I", 8) + b"free") * count + made[end:]


def heic_grid(columns: int, rows: int, tiles: int | None = None) -> bytes:
    """Of copies of one tile of 512 x 512."""
    made = encoded(Image.new("RGB", (512, 512), "gray"), "heic")
    file = heif.read(made)
    one = file.item(file.primary)
    size = struct.pack(">II", 512 * columns, 512 * rows)
    grid, count = bytes([0, 1, rows - 1, columns - 1]) + size, columns * rows if tiles is None else tiles
    whole = heifwrite.Part(b"grid", ((b"ispe", bytes(4) + size),), grid, (*range(1, count + 1),))
    return heifwrite.written(
        [whole, *[heifwrite.Part(one.kind, one.properties, heif.payload(made, file, one))] * count]
    )


def heic_of_shared_bytes(side: int, size_bytes: int, parts: int = 1) -> bytes:
    """A square grid whose tiles are different items, each of the same bytes, as often as it has parts."""
    tiles = side * side
    file = heif.read(encoded(Image.new("RGB", (512, 512), "gray"), "heic"))
    properties = file.item(file.primary).properties
    size = struct.pack(">II", 512 * side, 512 * side)
    whole = heifwrite.Part(
        b"grid", ((b"ispe", bytes(4) + size),), bytes([0, 1, side - 1, side - 1]) + size, (*range(1, tiles + 1),)
    )
    made = heifwrite.written([whole, *[heifwrite.Part(b"hvc1", properties, b"")] * tiles])
    at = made.index(b"iloc") + 4 + 8
    entries = [made[at : at + 14]]
    begin = len(made) + (parts - 1) * tiles * 8
    for number in range(2, tiles + 2):
        entries.append(struct.pack(">HHH", number, 0, parts) + struct.pack(">II", begin, size_bytes) * parts)
    old = 14 * (tiles + 1)
    grown = len(b"".join(entries)) - old
    made = made[:at] + b"".join(entries) + made[at + old :]
    for kind in (b"iloc", b"meta"):
        place = made.index(kind) - 4
        made = (
            made[:place] + struct.pack(">I", int.from_bytes(made[place : place + 4], "big") + grown) + made[place + 4 :]
        )
    first = at + 6
    moved = int.from_bytes(made[first : first + 4], "big") + grown
    made = made[:first] + struct.pack(">I", moved) + made[first + 4 :]
    return made + struct.pack(">I", size_bytes - 4) + b"\x02\1" + bytes(size_bytes - 6)  # one unit


def heic_of_parts(count: int) -> bytes:
    """Items of 65,535 parts that need no bytes in the file, for their places have none."""
    made = heic_of_items(count)
    at = made.index(b"iloc")
    places = struct.pack(">I", 0) + struct.pack(">BBH", 0, 0, count)
    places += b"".join(struct.pack(">HHH", number, 0, 0xFFFF) for number in range(1, count + 1))
    box = made[at - 4 : at + 4]
    old = int.from_bytes(box[:4], "big")
    new = struct.pack(">I", len(places) + 8) + b"iloc" + places
    made = made[: at - 4] + new + made[at - 4 + old :]
    place = made.index(b"meta") - 4
    size = int.from_bytes(made[place : place + 4], "big") + len(new) - old
    return made[:place] + struct.pack(">I", size) + made[place + 4 :]


def heic_of_items(count: int) -> bytes:
    """Items that nothing refers to, each with the picture's bytes."""
    file = heif.read(encoded(scene(64, 64), "heic"))
    one = file.item(file.primary)
    part = heifwrite.Part(one.kind, one.properties, heif.payload(encoded(scene(64, 64), "heic"), file, one))
    return heifwrite.written([part, *[part._replace(payload=b"")] * count])


def cut(name: str, share: float) -> bytes:
    whole = encoded(scene(200, 150), name)
    return whole[: int(len(whole) * share)]


def gzipped(size: int) -> bytes:
    return gzip.compress(bytes(size))


def text_chunk(kind: bytes, size: int) -> bytes:
    head = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[kind]
    return chunk(kind, head + zeros(size))


# Name: what stops it, and how it is made. "decoder" is the library's own limit; "nothing" costs little and is drawn.
RASTER: dict[str, tuple[str, Maker]] = {
    "png of 100,000 x 100,000": ("frame_pixels", lambda: png(100_000, 100_000)),
    "png of 2^31 x 2^31": ("decoder", lambda: png(2**31 - 1, 2**31 - 1)),
    "png of 50,000,001 x 1": ("frame_pixels", lambda: png(50_000_001, 1)),
    "jpeg of 65,500 x 65,500": ("frame_pixels", lambda: jpeg(65_500, 65_500)),
    "webp of 16,383 x 16,383": ("frame_pixels", lambda: webp(16_383, 16_383)),
    "webp film of 16,384 x 16,384": ("decoder", lambda: webp_film(16_384, 16_384, 2)),
    "webp canvas of 2^24 x 200": ("decoder", lambda: webp_film(1 << 24, 200, 1)),
    "avif of 60,000 x 60,000": ("frame_pixels", lambda: avif(60_000, 60_000)),
    "avif of 10,000 x 10,000": ("frame_pixels", lambda: avif(10_000, 10_000)),
    "tiff of 1,000,000 x 1,000,000": ("frame_pixels", lambda: tiff(1_000_000, 1_000_000)),
    "tiff of 10,000 x 10,000": ("frame_pixels", lambda: tiff(10_000, 10_000)),
    "flat png": ("frame_pixels", lambda: flat(9000, 9000, "PNG")),
    "flat gif": ("frame_pixels", lambda: flat(8000, 8000, "GIF", "L")),
    "flat tiff": ("frame_pixels", lambda: flat(15_000, 15_000, "TIFF", compression="group4")),
    "flat jpeg": ("frame_pixels", lambda: flat(8000, 8000, "JPEG", "L")),
    "gif of 257 frames": ("frames", lambda: gif(1, 1, 257)),
    "gif of 100,000 frames": ("frames", lambda: gif(1, 1, 100_000)),
    "gif of 1,000,000 frames": ("frames", lambda: gif(1, 1, 1_000_000)),
    "webp of 257 frames": ("frames", lambda: webp_film(1, 1, 257)),
    "webp of 3,000 frames": ("frames", lambda: webp_film(1, 1, 3000)),
    "webp of 90,000 frames": ("frames", lambda: webp_film(1, 1, 90_000)),
    "webp of 5,000,000 chunks": ("decoder", lambda: webp_of_chunks(5_000_000)),
    "avif of 5,000,000 boxes": ("decoder", lambda: avif_of_boxes(5_000_000)),
    "gif of 242 megapixels in all": ("total_pixels", lambda: gif(1100, 1100, 200)),
    "webp of 242 megapixels in all": ("total_pixels", lambda: webp_film(1100, 1100, 200)),
    "png of a million by one": ("total_pixels", lambda: png(1_000_000, 1, data=zlib.compress(bytes(125_001)))),
    "tiff of a million by one": ("total_pixels", lambda: tiff(1_000_000, 1, data=bytes(1_000_000))),
    "png of one by a million": ("total_pixels", lambda: png(1, 1_000_000, data=zlib.compress(bytes(2_000_000)))),
    "tile of 2^31": ("decoder", lambda: tiff(100, 100, *((tag, _LONG, 2**31 - 16) for tag in (322, 323, 324, 325)))),
    "40,000,000 strips": ("decoder", lambda: tiff(1, 40_000_000, (278, _LONG, 1))),
    "samples of 64 bits": ("decoder", lambda: tiff(7000, 7000, (258, _WORD, 64), (277, _WORD, 64))),
    "60,000 channels": ("decoder", lambda: tiff(7000, 7000, (277, _WORD, 60_000))),
    "jpeg of 600 scans": ("decoder", lambda: jpeg_of_scans(600)),
    "jpeg of 3,000 scans": ("decoder", lambda: jpeg_of_scans(3000)),
    "apng of 257 frames": ("frames", lambda: apng(1, 1, 257)),
    "apng of 2^31 frames": ("frames", lambda: small_png(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)))),
    "apng of 242 megapixels in all": ("total_pixels", lambda: apng(1100, 1100, 200)),
    "bmp of 60,000 x 60,000": ("frame_pixels", lambda: bmp_that_says(60_000, 60_000)),
    "bmp of 2^31 x -2^31": ("frame_pixels", lambda: bmp_that_says(2**31 - 1, -(2**31))),
    "flat bmp": ("frame_pixels", lambda: bmp(9000, 9000)),
    "half a bmp": ("decoder", lambda: cut("bmp", 0.6)),
    "icon with a png of 100,000 x 100,000": ("frame_pixels", lambda: ico(png(100_000, 100_000))),
    "icon with a flat png": ("frame_pixels", lambda: ico(flat(9000, 9000, "PNG"))),
    "icon with a bmp of 60,000 x 60,000": ("frame_pixels", lambda: ico(bmp_that_says(60_000, 120_000)[14:])),
    "icon of 65,535 pictures": ("decoder", lambda: ico_with_itself(65_535)),
    "icon of 256 times the same 10 MB": ("nothing", lambda: ico_of_shared_bytes(256, 10_000_000)),
    "icon with half a png": ("decoder", lambda: ico(cut("png", 0.6))),
    "heic of 60,000 x 60,000": ("frame_pixels", lambda: heic(60_000, 60_000)),
    "heic of 10,000 x 10,000": ("frame_pixels", lambda: heic(10_000, 10_000)),
    "heic grid of 131,072 x 131,072": ("decoder", lambda: heic_grid(256, 256, 256)),
    "heic grid of 16,384 x 15,872": ("frame_pixels", lambda: heic_grid(32, 31)),
    "heic that denies its size": ("decoder", heic_that_denies_its_size),
    "heic of 1,000,000 boxes": ("decoder", lambda: heic_of_boxes(1_000_000)),
    "half a heic": ("decoder", lambda: cut("heic", 0.6)),
    "heic of 144 tiles of the same 10 MB": ("decoder", lambda: heic_of_shared_bytes(12, 10_000_000)),
    "heic of a tile of the same 10 MB 2,000 times": ("decoder", lambda: heic_of_shared_bytes(1, 10_000_000, 2000)),
    "heic of 65,000,000 parts": ("decoder", lambda: heic_of_parts(1000)),
    "heic of 60,000 items": ("nothing", lambda: heic_of_items(60_000)),
    "half a jpeg": ("decoder", lambda: cut("jpeg", 0.6)),
    "half a png": ("decoder", lambda: cut("png", 0.6)),
    "half a webp": ("decoder", lambda: cut("webp", 0.6)),
    "half a gif": ("decoder", lambda: cut("gif", 0.6)),
    "half a tiff": ("decoder", lambda: cut("tiff", 0.6)),
    "half an avif": ("decoder", lambda: cut("avif", 0.6)),
    "gzip of 100 MB": ("svg_bytes", lambda: gzipped(100 << 20)),
    "gzip of an svg": ("librsvg", lambda: gzip.compress(b'<svg xmlns="http://www.w3.org/2000/svg">' + bytes(1 << 20))),
    "60 MB behind a small png": ("nothing", lambda: png(40, 30, data=zeros(60 << 20), depth=8)),
    "profile of 60 MB": ("nothing", lambda: small_png(text_chunk(b"iCCP", 60 << 20))),
    "text of 60 MB": ("nothing", lambda: small_png(text_chunk(b"zTXt", 60 << 20))),
    "international text of 60 MB": ("nothing", lambda: small_png(text_chunk(b"iTXt", 60 << 20))),
    "30 texts of 7 MB": ("nothing", lambda: small_png(*[text_chunk(b"zTXt", 7 << 20)] * 30)),
    "300,000 texts": ("nothing", lambda: small_png(*[chunk(b"tEXt", b"a\0b")] * 300_000)),
    "300,000 unknown chunks": ("nothing", lambda: small_png(*[chunk(b"abCd", b"a\0b")] * 300_000)),
    "a page that follows itself": ("nothing", lambda: tiff(1, 1, next_at=8)),
    "tiff of 3,000 pages": ("nothing", lambda: tiff_of_pages(3000)),
    "tiff of 200,000 pages": ("nothing", lambda: tiff_of_pages(200_000)),
    "jpeg of 2,000,000 segments": ("nothing", lambda: jpeg_of_segments(2_000_000)),
    "tiny tiles": ("nothing", lambda: tiff(3000, 3000, (322, _LONG, 16), (323, _LONG, 16))),
    "exif that holds itself": ("nothing", exif_loop),
    "exif of 4,294,967,295 values": ("nothing", exif_giant),
    "screen without a picture": ("frame_pixels", lambda: gif(65_535, 65_535, 1)),
}
