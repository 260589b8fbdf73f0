"""AV1 sequence headers of every shape, and where in an AVIF one is found. Headers and boxes are made by hand."""

import io
import random
import struct
import time

import pytest
from PIL import Image

from imgserve.imaging.worker.formats import av1, isobmff
from imgserve.request.imageinfo import Size

Field = tuple[int, int]  # a value and its bits

REDUCED = [(0, 3), (1, 1), (1, 1), (0, 5)]  # profile, still, reduced, level
TIMING = [(1, 1), (1, 32), (25, 32), (1, 1), (0b00101, 5), (1, 1), (9, 5), (1, 32), (9, 5), (9, 5)]
SIZE = [(5, 4), (5, 4), (63, 6), (47, 6)]
TOOLS = [(0, 4), (1, 1), (3, 2), (0, 1), (1, 1), (0, 1), (1, 1), (6, 3)]
FEW_TOOLS = [(0, 4), (0, 1), (0, 1), (0, 1)]
COLOURS = [(1, 1), (12, 8), (16, 8), (9, 8)]
SHAPES: dict[str, list[Field]] = {
    "reduced": [*REDUCED, *SIZE, (0, 3), (0, 3), (0, 1), (0, 1), *COLOURS],
    "of twelve bits": [(2, 3), *REDUCED[1:], *SIZE, (0, 3), (0, 3), (1, 1), (1, 1), (0, 1), *COLOURS],
    "of full colour": [(1, 3), *REDUCED[1:], *SIZE, (0, 3), (0, 3), (1, 1), *COLOURS],
    "plain": [(0, 3), (0, 2), (0, 1), (0, 1), (0, 5), (0, 12), (5, 5), *SIZE, (0, 1), (0, 3), *FEW_TOOLS, (0, 3),
              (0, 2), *COLOURS],
    "of two points": [(0, 3), (0, 2), *TIMING, (1, 1), (1, 5), (0, 12), (9, 5), (1, 1), (1, 1), (7, 10), (7, 10),
                      (0, 1), (1, 1), (3, 4), (0, 12), (5, 5), (0, 1), (0, 1), *SIZE, (1, 1), (0, 7), (0, 3), *TOOLS,
                      (0, 3), (0, 2), *COLOURS],
}  # fmt: skip
SILENT = [*REDUCED, *SIZE, (0, 3), (0, 3), (0, 1), (0, 1), (0, 1), (0, 8)]
DELIMITER = b"\x12\0"


def obu(fields: list[Field]) -> bytes:
    bits = "".join(format(value, f"0{width}b") for value, width in fields) + "1"  # the trailing bit
    body = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return bytes((1 << 3 | 2, len(body))) + body


@pytest.mark.parametrize("name", SHAPES)
def test_the_numbers_are_found(name: str) -> None:
    header = obu(SHAPES[name])
    for data in (header, DELIMITER + header, header + bytes(100), bytes((header[0] & ~2,)) + header[2:]):
        assert av1.colour_numbers(data) == (12, 16)


@pytest.mark.parametrize("name", SHAPES)
def test_a_header_that_is_cut_off_tells_nothing(name: str) -> None:
    header = obu(SHAPES[name])
    without_matrix = len(header) - 3
    assert {av1.colour_numbers(header[:count]) for count in range(without_matrix)} == {None}


def test_a_header_without_numbers_and_what_is_no_header() -> None:
    assert av1.colour_numbers(obu(SILENT)) is None
    assert av1.colour_numbers(b"") is None
    assert av1.colour_numbers(DELIMITER * 500) is None
    assert av1.colour_numbers(b"\x0a" + b"\xff" * 1000) is None


FRAME, PADDING = b"\x32\x03abc", b"\x7a\x01\x80"


def test_a_still_picture_is_one_header_and_one_frame() -> None:
    header = obu(SHAPES["reduced"])
    still = av1.Sequence(is_still=True, is_deep=False, size=Size(64, 48), colours=(12, 16))
    for data in (header + FRAME, DELIMITER + header + FRAME, header + FRAME + PADDING, header + b"\x30to the end"):
        assert av1.still(data) == still
    assert av1.still(obu(SHAPES["of twelve bits"]) + FRAME) == still._replace(is_deep=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        obu(SHAPES["reduced"]),
        obu(SHAPES["plain"]) + FRAME,
        FRAME + obu(SHAPES["reduced"]),
        obu(SHAPES["reduced"]) * 2 + FRAME,
        obu(SHAPES["reduced"]) + FRAME * 2,
        DELIMITER * 2 + obu(SHAPES["reduced"]) + FRAME + obu(SHAPES["reduced"]),
        obu(SHAPES["reduced"]) + FRAME[:-1],
        obu(SHAPES["reduced"]) + FRAME + b"\x32\xff",
        b"\x0a\x01\x18" + FRAME,
    ],
    ids=["nothing", "no frame", "long header", "order", "two headers", "two frames", "hidden header", "cut frame",
         "cut length", "cut header"],
)  # fmt: skip
def test_all_others_are_none(data: bytes) -> None:
    assert av1.still(data) is None


def test_hostile_headers_are_read_quickly() -> None:
    noise = random.Random(1)
    started = time.process_time()
    for _ in range(500):
        av1.colour_numbers(b"\x0a\x80\x07" + noise.randbytes(1000))
    assert av1.colour_numbers(b"\x08\x04" + bytes(1000)) is None  # timing, and a number that never ends
    assert time.process_time() - started < 1


def test_a_film_of_an_encoder() -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "green", "blue")]
    frames[0].save(out, "AVIF", save_all=True, append_images=frames[1:])
    assert av1.colour_numbers(isobmff.coded_beginning(out.getvalue())) == (1, 13)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def avif(iloc: bytes, *parts: bytes, colr: bytes = b"") -> bytes:
    """Item 1 is the primary picture, 2 has the third property and, where there is one, the fourth."""
    properties = box(b"ipco", box(b"ispe", bytes(12)), box(b"pixi", bytes(8)), box(b"av1C", bytes(4)), colr)
    owned = struct.pack(">IIHBBBHBBB", 0, 2, 1, 2, 1, 2, 2, 2, 3, 4)
    pitm = box(b"pitm", struct.pack(">IH", 0, 1))
    meta = box(b"meta", bytes(4), pitm, box(b"iloc", iloc), *parts, box(b"iprp", properties, box(b"ipma", owned)))
    return box(b"ftyp", b"avif") + meta


def located(version: int, item: int, method: int, offset: int, length: int) -> bytes:
    """An iloc of two items, of which the second is this one."""
    head = struct.pack(">BBHH", version, 0, 0, 0x4440)
    wide, chosen = ("I", struct.pack(">H", method)) if version == 2 else ("H", struct.pack(">H", method) * version)
    count = struct.pack(f">{wide}", 2)
    entries = (
        struct.pack(f">{wide}", number) + chosen + struct.pack(">HIH", 0, 0, 1) + struct.pack(">II", begin, size)
        for number, begin, size in ((9, 1, 1), (item, offset, length))
    )
    return head + count + b"".join(entries)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_an_item_in_the_file(version: int) -> None:
    end = len(avif(located(version, 1, 0, 0, 0)))
    data = avif(located(version, 1, 0, end, 4))
    assert isobmff.coded_beginning(data + b"coded, and more") == b"code"
    assert isobmff.coded_beginning(avif(located(version, 1, 0, end, 0)) + b"to the end") == b"to the end"


def test_an_item_in_meta() -> None:
    data = avif(located(1, 1, 1, 2, 3), box(b"idat", b"..idat.."))
    assert isobmff.coded_beginning(data) == b"ida"
    assert isobmff.coded_beginning(avif(located(1, 1, 2, 2, 3))) == b"", "made of other items"


def test_the_first_tile_of_a_grid() -> None:
    tiles = box(b"iref", bytes(4), box(b"cdsc", struct.pack(">HHH", 7, 1, 1)),
                box(b"dimg", struct.pack(">HHHH", 1, 2, 2, 3)))  # fmt: skip
    colr = box(b"colr", b"nclx" + struct.pack(">HHHB", 12, 16, 9, 0x80))
    data = avif(located(1, 2, 1, 0, 4), tiles, box(b"idat", b"tile"), colr=colr)
    assert isobmff.coded_beginning(data) == b"tile"
    assert isobmff.colour_boxes(data) == [colr[8:]]


@pytest.mark.parametrize("iloc", [b"", b"\xff" * 6, b"\x01" + b"\xff" * 200, located(0, 1, 0, 0xFFFFFFFF, 0xFFFFFFFF)])
def test_places_that_make_no_sense(iloc: bytes) -> None:
    assert len(isobmff.coded_beginning(avif(iloc))) < 1025
