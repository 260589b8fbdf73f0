"""The short reader of JPEG headers against libvips: where it says anything at all, both say the same."""

import io
import struct

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgserve.imaging.worker.formats import jpegheader, turbojpeg
from imgserve.imaging.worker.formats.jpegheader import Header
from imgserve.imaging.worker.formats.turbojpeg import Stored
from imgserve.imaging.worker.picture import orientation
from tests.support import pictures, profiles

pytestmark = pytest.mark.skipif(not turbojpeg.is_there(), reason="needs libturbojpeg (Debian: libturbojpeg0)")

# libjpeg-turbo's numbers by the words of libvips.
SAMPLINGS = {"4:4:4": 0, "4:2:0": 2, "4:0:0": 3}

SCENE = pictures.scene(40, 24)
ORIENTATION, SHORT, LONG = 0x0112, 3, 4


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    SCENE.convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def with_segment(kind: int, body: bytes, data: bytes | None = None) -> bytes:
    """Right behind the start of the picture."""
    plain = jpeg() if data is None else data
    return plain[:2] + struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body + plain[2:]


def exif(*entries: tuple[int, int, int, int], order: str = "<", count: int | None = None) -> bytes:
    """``entries``: tag, type, count, value."""
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    values = (
        struct.pack(f"{order}HHI", tag, kind, number) + struct.pack(f"{order}{'HH' if kind == SHORT else 'I'}", *fill)
        for tag, kind, number, value in entries
        for fill in [(value, 0) if kind == SHORT else (value,)]
    )
    listed = struct.pack(f"{order}H", len(entries) if count is None else count) + b"".join(values)
    return b"Exif\0\0" + start + listed + struct.pack(f"{order}I", 0)


def as_frame(kind: int, data: bytes, bits: int = 8) -> bytes:
    """The same, with another kind of frame."""
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes([kind]) + data[at + 2 : at + 4] + bytes([bits]) + data[at + 5 :]


@pytest.mark.parametrize("kind", [0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF])
def test_lossless_and_other_odd_frames_are_libvips_to_judge(kind: int) -> None:
    for mode in ("L", "RGB"):
        assert jpegheader.read(jpeg(mode)) is not None
        assert jpegheader.read(as_frame(kind, jpeg(mode))) is None
        assert jpegheader.read(as_frame(0xC1, jpeg(mode), bits=12)) is None


def by_libvips(data: bytes) -> Header:
    image = pyvips.Image.jpegload_buffer(data)
    sampling = "4:0:0" if image.bands == 1 else image.get("jpeg-chroma-subsample")
    return Header(Stored(image.width, image.height, image.bands, SAMPLINGS[sampling]), orientation(image))


@pytest.mark.parametrize(
    "data",
    [
        jpeg(),
        jpeg("L"),
        jpeg(progressive=True, subsampling=0),
        jpeg(comment=b"a comment"),
        jpeg(icc_profile=profiles.SRGB.profile()),
        with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
        with_segment(0xE2, b"MPF\0" + bytes(20)),
        with_segment(0xE1, exif()),
        with_segment(0xE1, exif((0x0110, LONG, 1, 7), (ORIENTATION, SHORT, 1, 8), order=">")),
        *(with_segment(0xE1, exif((ORIENTATION, SHORT, 1, number))) for number in range(1, 9)),
        *(pictures.oriented_jpeg(SCENE, number) for number in pictures.ORIENTATIONS),
    ],
)
def test_plain_ones_are_read_as_libvips_reads_them(data: bytes) -> None:
    assert jpegheader.read(data) == by_libvips(data)


@pytest.mark.parametrize(
    "data",
    [
        jpeg("CMYK"),
        jpeg(icc_profile=pictures.wide_gamut_profile()),
        with_segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(200)),
        with_segment(0xE1, exif((ORIENTATION, SHORT, 1, 0))),
        with_segment(0xE1, exif((ORIENTATION, SHORT, 1, 9))),
        with_segment(0xE1, exif((ORIENTATION, LONG, 1, 6))),
        with_segment(0xE1, exif((ORIENTATION, SHORT, 2, 6))),
        with_segment(0xE1, exif((ORIENTATION, SHORT, 1, 6), count=500)),
        with_segment(0xE1, b"Exif\0\0what is this"),
        with_segment(0xE1, exif(), with_segment(0xE1, exif())),
        b"\xff\xd8\xff\xff" + jpeg()[3:],
        b"\xff\xd8\xff\xd8" + jpeg()[2:],
        b"",
        b"\xff\xd8\xff",
    ],
)
def test_odd_ones_are_left_to_libvips(data: bytes) -> None:
    assert jpegheader.read(data) is None


def test_nothing_is_said_before_the_scan_begins() -> None:
    data = with_segment(0xE1, exif((ORIENTATION, SHORT, 1, 6)))
    scan = data.index(b"\xff\xda")
    for length in range(len(data)):
        told = jpegheader.read(data[:length])
        assert told is None or (length > scan and told == Header(Stored(40, 24, 3, SAMPLINGS["4:2:0"]), 6)), length


@given(st.data())
def test_damaged_ones_are_never_read_otherwise(draw: st.DataObject) -> None:
    data = bytearray(with_segment(0xE1, exif((ORIENTATION, SHORT, 1, 6))))
    scan = data.index(b"\xff\xda")
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(2, scan))] = draw.draw(st.integers(0, 255))
    told = jpegheader.read(bytes(data))
    if told is None:
        return
    try:
        expected = by_libvips(bytes(data))
    except pyvips.Error:
        return  # refused by a later look at it, with libvips' own words
    assert told == expected


def test_a_broken_one_does_no_harm_to_the_next() -> None:
    broken = bytearray(jpeg())
    at = broken.index(b"\xff\xc4")
    broken[at + 4 : at + 20] = b"\xff" * 16  # a Huffman table that is none
    assert jpegheader.read(bytes(broken)) is None
    told = jpegheader.read(jpeg())
    assert told is not None
    assert (told.width, told.height) == Image.open(io.BytesIO(jpeg())).size
