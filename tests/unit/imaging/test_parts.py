"""The walks over chunks, pages and boxes against libvips, and what they do to floods."""

import io
import struct

import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgserve.imaging.worker.formats import isobmff, tiff, webp
from tests.hostile.bombs_raster import avif_of_boxes, tiff_of_pages, webp_film, webp_of_chunks
from tests.support import pictures


def film(count: int) -> bytes:
    """Frames so unlike each other that the encoder drops none."""
    frames = [Image.new("RGB", (16, 16), (n * 97 % 256, n * 57 % 256, n * 31 % 256)) for n in range(count)]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    return out.getvalue()


FILM = film(5)


def pages(data: bytes) -> int:
    image = pyvips.Image.new_from_buffer(data, "")
    return int(image.get("n-pages")) if "n-pages" in image.get_fields() else 1


@pytest.mark.parametrize("count", [2, 3, 17, 256])
def test_frames_of_a_webp_are_those_that_libvips_counts(count: int) -> None:
    data = film(count)
    assert webp.frames_up_to(1000, data) == pages(data) == count


def test_a_still_webp_has_no_frames() -> None:
    assert webp.frames_up_to(1000, pictures.encoded(pictures.scene(40, 30), "webp")) == 0


def test_the_count_ends_with_the_first_too_many() -> None:
    assert webp.frames_up_to(10, webp_film(1, 1, 500)) == 11
    assert webp.frames_up_to(10, webp_of_chunks(9000)) == 2
    assert webp.frames_up_to(10, webp_of_chunks(11_000)) is None


@pytest.mark.parametrize("byte", range(4, 24))
@pytest.mark.parametrize("value", [0, 1, 40, 88, 144, 255])
def test_a_frame_that_tells_a_wrong_length_hides_none(byte: int, value: int) -> None:
    data = bytearray(FILM)
    data[FILM.index(b"ANMF") + byte] = value
    try:
        expected = pages(bytes(data))
    except pyvips.Error:
        return
    assert (webp.frames_up_to(1000, bytes(data)) or 0) >= expected


@given(st.data())
def test_no_damaged_webp_has_more_frames_than_were_counted(draw: st.DataObject) -> None:
    data = bytearray(FILM[: draw.draw(st.integers(len(FILM) // 2, len(FILM)))])
    for _ in range(draw.draw(st.integers(0, 4))):
        data[draw.draw(st.integers(12, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        expected = pages(bytes(data))
    except pyvips.Error:
        return
    counted = webp.frames_up_to(1000, bytes(data))
    assert expected == 1 or (counted is not None and counted >= expected)


def big_endian(data: bytes) -> bytes:
    """Of a TIFF by ``tiff_of_pages``."""
    at, made = 8, bytearray(b"MM\0*" + struct.pack(">I", 8))
    while at:
        (count,) = struct.unpack_from("<H", data, at)
        made += bytes(at - len(made)) + struct.pack(">H", count)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, number, value = struct.unpack_from("<HHII", data, entry)
            made += struct.pack(">HHI", tag, kind, number)
            made += struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
        (at,) = struct.unpack_from("<I", data, at + 2 + 12 * count)
        made += struct.pack(">I", at)
    return bytes(made) + b"\0"


def big_tiff(count: int) -> bytes:
    """Pages of one grey pixel, each in BigTIFF's wider directory."""
    made = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16)
    for number in range(count):
        at, table = len(made), b""
        values = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: at + 8 + 20 * 9 + 8, 277: 1, 278: 1, 279: 1}
        for tag, value in values.items():
            table += struct.pack("<HHQQ", tag, 4, 1, value)
        following = at + 8 + 20 * 9 + 8 + 8 if number < count - 1 else 0
        made += struct.pack("<Q", 9) + table + struct.pack("<Q", following) + bytes([number % 256]) + bytes(7)
    return made


@pytest.mark.parametrize(
    "make", [tiff_of_pages, lambda count: big_endian(tiff_of_pages(count)), big_tiff], ids=["little", "big", "64 bits"]
)
def test_of_a_flood_of_pages_the_first_is_left(make: object) -> None:
    assert callable(make)
    few, flood = make(200), make(300)
    assert pages(few) == 200
    assert pages(flood) == 300
    assert tiff.without_a_flood_of_pages(few) is few
    alone = tiff.without_a_flood_of_pages(flood)
    assert isinstance(alone, bytes)
    assert pages(alone) == 1
    first, same = (pyvips.Image.new_from_buffer(data, "").numpy() for data in (flood, alone))
    assert np.array_equal(first, same)


@given(st.binary(max_size=200))
def test_what_is_hardly_a_tiff_passes_as_it_is(rest: bytes) -> None:
    for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        made = tiff.without_a_flood_of_pages(start + rest)
        assert len(made) >= len(start + rest)


def test_boxes_are_a_flood_when_no_picture_has_so_many() -> None:
    assert not isobmff.is_flood_of_boxes(pictures.encoded(pictures.scene(40, 30), "avif"))
    assert not isobmff.is_flood_of_boxes(avif_of_boxes(9000))
    assert isobmff.is_flood_of_boxes(avif_of_boxes(11_000))


@given(st.binary(max_size=100))
def test_any_bytes_are_walked_to_an_end(data: bytes) -> None:
    isobmff.is_flood_of_boxes(data)
    webp.frames_up_to(9, data)
