"""The short reader of WebP headers against libvips: where it says anything at all, both say the same."""

from collections.abc import Iterable

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from imgserve.imaging.worker.formats import libwebp, webpheader
from imgserve.imaging.worker.picture import Picture, orientation
from imgserve.request.recipe import LoadOptions
from tests.support import pictures, profiles

pytestmark = pytest.mark.skipif(not libwebp.is_there(), reason="needs libwebp")

Chunk = tuple[bytes, bytes]
PLAIN = pictures.encoded(pictures.scene(41, 24), "webp")
PICTURE: Chunk = (b"VP8 ", PLAIN[20:])
PROFILE, EXIF, XMP, ALPHA, ANIMATION = 0x20, 0x08, 0x04, 0x10, 0x02
TURNED = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


def riff(chunks: Iterable[Chunk]) -> bytes:
    body = b"WEBP" + b"".join(
        name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def extended(flags: int, *chunks: Chunk) -> bytes:
    header = bytes((flags, 0, 0, 0)) + (41 - 1).to_bytes(3, "little") + (24 - 1).to_bytes(3, "little")
    return riff([(b"VP8X", header), *chunks])


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN + b"behind the end",
        extended(0, PICTURE),
        extended(PROFILE, (b"ICCP", profiles.SRGB.profile()), PICTURE),
        extended(EXIF, PICTURE, (b"EXIF", TURNED)),
        extended(EXIF, PICTURE, (b"EXIF", b"Exif\0\0" + TURNED)),
        extended(XMP, PICTURE, (b"XMP ", b"<x/>")),
        extended(EXIF, PICTURE),
        extended(0, (b"ABCD", b"of a later time"), PICTURE),
    ],
)
def test_plain_ones_are_read_as_by_libvips(data: bytes) -> None:
    header = webpheader.read(data)
    image = pyvips.Image.new_from_buffer(data, "")
    assert header is not None
    assert (header.width, header.height, header.orientation) == (image.width, image.height, orientation(image))
    assert header.has_metadata == any(image.get_typeof(name) for name in ("exif-data", "xmp-data"))


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:-1],
        PLAIN[:20],
        PLAIN[:11],
        b"",
        riff([(b"VP8X", b"")]),
        extended(ALPHA, PICTURE),
        extended(ANIMATION, PICTURE),
        extended(PROFILE, (b"ICCP", pictures.wide_gamut_profile()), PICTURE),
        extended(PROFILE, (b"ICCP", b""), PICTURE),
        extended(0, PICTURE, (b"EXIF", TURNED)),
        extended(EXIF, PICTURE, (b"EXIF", TURNED), (b"EXIF", TURNED)),
        extended(EXIF, PICTURE, (b"EXIF", b"")),
        extended(EXIF, PICTURE, (b"EXIF", TURNED[:9])),
        extended(0, PICTURE, *[(b"ABCD", b"")] * 200),
    ],
)
def test_what_is_odd_is_libvips_to_judge(data: bytes) -> None:
    assert webpheader.read(data) is None


def test_it_is_turned_unless_the_recipe_says_otherwise() -> None:
    data = extended(EXIF, PICTURE, (b"EXIF", TURNED))
    for orient, number in ((True, 6), (False, 1)):
        header = Picture(data, "webp", LoadOptions(orient=orient)).plain_webp
        assert header is not None
        assert header.orientation == number


def test_a_page_is_libvips_to_find() -> None:
    assert Picture(PLAIN, "webp", LoadOptions(page=1)).plain_webp is None


@pytest.mark.parametrize("flag", [0x80, 0x40, 0x01])
def test_reserved_flags_are_libvips_to_refuse(flag: int) -> None:
    assert webpheader.read(extended(EXIF | flag, PICTURE, (b"EXIF", TURNED))) is None


@pytest.mark.parametrize("rest", [1, 7])
def test_so_is_a_rest_behind_the_last_chunk(rest: int) -> None:
    whole = extended(0, PICTURE) + bytes(rest)
    assert webpheader.read(b"RIFF" + (len(whole) - 8).to_bytes(4, "little") + whole[8:]) is None


@given(st.data())
def test_damaged_ones_are_refused_or_read_as_by_libvips(data: st.DataObject) -> None:
    file = bytearray(extended(EXIF, PICTURE, (b"EXIF", TURNED)))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, 60) | st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    header = webpheader.read(bytes(file))
    if header is not None:
        image = pyvips.Image.new_from_buffer(bytes(file), "")
        assert (header.width, header.height, header.orientation) == (image.width, image.height, orientation(image))
