"""BMP and ICO against Pillow's reading of the same file, or against the picture that was written."""

import io
import struct

import pytest
from PIL import Image

from imgserve.imaging.faults import PictureTooLarge, SourceUnreadable
from imgserve.imaging.worker.formats import ico
from imgserve.imaging.worker.probe import probe
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from tests.support import pictures
from tests.unit.imaging.conftest import Render

LIMITS = Limits()
SCENE = pictures.scene(41, 31)


def icon(*parts: tuple[bytes, int]) -> bytes:
    """An ICO of these pictures, each with the bits a pixel that its entry states. All entries say 1 x 1."""
    entries, at = [], 6 + 16 * len(parts)
    for body, bits in parts:
        entries.append(struct.pack("<BBBBHHII", 1, 1, 0, 0, 1, bits, len(body), at))
        at += len(body)
    return struct.pack("<HHH", 0, 1, len(parts)) + b"".join(entries) + b"".join(body for body, _ in parts)


def dib(image: Image.Image, mask: bytes = b"") -> bytes:
    """A BMP of 32 bits without its file header, twice as high, and the mask behind it."""
    bgra = Image.merge("RGBA", [image.convert("RGBA").getchannel(band) for band in "BGRA"])
    rows = bgra.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, image.width, 2 * image.height, 1, 32, 0, len(rows), 0, 0, 0, 0)
    return header + rows + (mask or bytes((image.width + 31) // 32 * 4 * image.height))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_a_bmp_looks_as_pillow_reads_it(render: Render, mode: str) -> None:
    data = pictures.encoded(SCENE.convert(mode), "bmp")
    assert probe(data, LIMITS, is_complete=True) == ImageInfo("bmp", 41, 31)
    assert probe(data[:64], LIMITS, is_complete=False) == ImageInfo("bmp", 41, 31)
    result = render(data, Resize(), (41, 31))
    assert result.mode == ("RGB" if mode in ("RGB", "P") else "L")
    assert pictures.distance(result, Image.open(io.BytesIO(data)).convert(result.mode)) == 0


def test_rows_from_the_top(render: Render) -> None:
    data = bytearray(pictures.encoded(SCENE, "bmp"))
    data[22:26] = struct.pack("<i", -31)
    assert probe(bytes(data), LIMITS, is_complete=True) == ImageInfo("bmp", 41, 31)
    upside_down = SCENE.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    assert pictures.distance(render(bytes(data), Resize(), (41, 31)), upside_down) == 0


def test_transparency_in_a_bmp(render: Render) -> None:
    """A header of version 4 with masks for all four channels."""
    scene = pictures.scene(40, 30, "RGBA")
    rows = Image.merge("RGBA", [scene.getchannel(band) for band in "BGRA"]).tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 40, -30, 1, 32, 3, len(rows), 0, 0, 0, 0) + masks + bytes(52)
    data = b"BM" + struct.pack("<IHHI", 14 + 108 + len(rows), 0, 0, 14 + 108) + header + rows
    assert probe(data, LIMITS, is_complete=True) == ImageInfo("bmp", 40, 30, has_alpha=True)
    result = render(data, Resize(), (40, 30))
    assert result.mode == "RGBA"
    white = [Image.alpha_composite(Image.new("RGBA", (40, 30), "white"), image) for image in (result, scene)]
    assert pictures.distance(*white) < 0.5


@pytest.mark.parametrize("length", [12, 40, 52, 56, 64, 108, 124])
def test_a_truncated_bmp_is_refused(render: Render, length: int) -> None:
    """At every byte of its headers, whatever length they state; and within its pixels."""
    whole = bytearray(pictures.encoded(SCENE, "bmp"))
    whole[14:18] = struct.pack("<I", length)
    for kept in (*range(18, 14 + length + 2), 2000):
        with pytest.raises(SourceUnreadable):
            render(bytes(whole[:kept]), Resize(), (41, 31))


@pytest.mark.parametrize("coding", ["png", "bmp"])
def test_the_largest_picture_of_an_icon_is_shown(render: Render, coding: str) -> None:
    scenes = [pictures.scene(side, side, "RGBA") for side in (16, 48, 32)]
    parts = [dib(scene) if coding == "bmp" else pictures.encoded(scene, "png") for scene in scenes]
    data = icon(*((part, 32) for part in parts))
    assert probe(data, LIMITS, is_complete=True) == ImageInfo("ico", 48, 48, has_alpha=True)
    result = render(data, Resize(), (48, 48))
    assert result.mode == "RGBA"
    white = [Image.alpha_composite(Image.new("RGBA", (48, 48), "white"), image) for image in (result, scenes[1])]
    assert pictures.distance(*white) < 0.5


def test_of_equal_pictures_that_with_the_most_colours() -> None:
    data = icon((dib(pictures.scene(16, 16)), 4), (pictures.encoded(pictures.scene(16, 16), "png"), 33))
    assert [found.is_png for found in ico.icons(data)] == [True, False]


def test_without_any_alpha_the_mask_counts(render: Render) -> None:
    """As in icons from before alpha was known. A set bit is transparent; rows begin at the bottom."""
    scene = pictures.scene(32, 32)
    clear = Image.merge("RGBA", [*scene.split(), Image.new("L", (32, 32), 0)])
    mask = b"\xff\xff\0\0" * 32
    result = render(icon((dib(clear, mask), 32)), Resize(), (32, 32))
    alpha = result.getchannel("A")
    assert [alpha.getpixel((x, 20)) for x in (0, 15, 16, 31)] == [0, 0, 255, 255]
    right = (16, 0, 32, 32)
    assert pictures.distance(result.convert("RGB").crop(right), scene.crop(right)) < 0.5


@pytest.mark.parametrize("count", [0, 257, 65_535])
def test_an_icon_has_a_number_of_pictures(count: int) -> None:
    data = struct.pack("<HHH", 0, 1, count) + bytes(200)
    with pytest.raises(SourceUnreadable, match=f"it has {count} pictures"):
        probe(data, LIMITS, is_complete=True)


def test_a_png_in_an_icon_is_judged_by_its_own_size() -> None:
    png = bytearray(pictures.encoded(pictures.scene(16, 16), "png"))
    png[16:24] = struct.pack(">II", 60_000, 60_000)
    with pytest.raises(PictureTooLarge, match="frame_pixels"):
        probe(icon((bytes(png), 32)), LIMITS, is_complete=True)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_truncated_icon_is_refused(kept: float) -> None:
    data = icon((dib(pictures.scene(16, 16)), 32), (pictures.encoded(pictures.scene(32, 32), "png"), 32))
    with pytest.raises(SourceUnreadable):
        probe(data[: int(len(data) * kept)], LIMITS, is_complete=True)


def test_sizes_of_pictures_in_an_icon() -> None:
    data = icon((dib(pictures.scene(20, 10)), 32))
    assert [found.size for found in ico.icons(data)] == [Size(20, 10)]
