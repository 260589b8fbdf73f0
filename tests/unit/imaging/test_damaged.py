"""Files that are cut off, damaged, or carry more than a picture: what is refused, and what passes (on request)."""

import io
import struct
from typing import get_args

import numpy as np
import pytest
from PIL import ExifTags, Image

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker.formats import gif
from imgserve.imaging.worker.probe import probe
from imgserve.request.encode import Format
from imgserve.request.imageinfo import ImageInfo, SourceFormat
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions
from tests.support import heif, pictures
from tests.unit.imaging.conftest import Render

FORMATS: tuple[Format, ...] = get_args(Format)
LENIENT: tuple[Format, ...] = ("jpeg", "png", "gif", "tiff")


def film(frames: int = 5) -> bytes:
    return pictures.film([pictures.detailed(90, 60).rotate(n * 30) for n in range(frames)], "gif", [60] * frames)


@pytest.mark.parametrize("name", LENIENT)
def test_half_a_picture_is_shown_only_when_that_was_asked_for(render: Render, name: Format) -> None:
    whole = pictures.detailed(300, 200)
    data = in_rows(whole) if name == "gif" else pictures.encoded(whole, name)
    half = data[: len(data) // 2]
    with pytest.raises(SourceUnreadable, match=r"cut off|cannot be decoded") as refusal:
        render(half, Resize(), (150, 100))
    assert "load.strict = false" in refusal.value.sentence()
    shown = render(half, Resize(), (150, 100), strict=False).convert("RGB")
    expected = whole.resize((150, 100), Image.Resampling.LANCZOS)
    top, bottom = (0, 0, 150, 40), (0, 80, 150, 100)
    assert pictures.distance(shown.crop(top), expected.crop(top)) < 10
    assert pictures.distance(shown.crop(bottom), expected.crop(bottom)) > 20, "this half was never sent"


@pytest.mark.parametrize("name", ["webp", "avif"])
def test_nothing_can_be_made_of_half_a_webp_or_avif(render: Render, name: Format) -> None:
    data = pictures.encoded(pictures.detailed(300, 200), name)
    for is_strict in (True, False):
        with pytest.raises(SourceUnreadable) as refusal:
            render(data[: len(data) // 2], Resize(), (150, 100), strict=is_strict)
        assert "strict" not in refusal.value.sentence()


@pytest.mark.parametrize("output", ["gif", "webp", "png"])
def test_a_film_that_ends_between_or_in_its_frames_is_cut_off(render: Render, output: Format) -> None:
    data = film()
    assert render(data, Resize(), (45, 30), output).size == (45, 30)
    for length in (len(data) - 1, len(data) * 9 // 10, data.rindex(b"\x21\xf9\x04")):
        with pytest.raises(SourceUnreadable, match="cut off"):
            render(data[:length], Resize(), (45, 30), output)
        part = render(data[:length], Resize(), (45, 30), output, strict=False)
        assert getattr(part, "n_frames", 1) in ({1} if output == "png" else {4, 5})


def test_the_probe_lets_through_what_the_render_will() -> None:
    data = pictures.encoded(pictures.detailed(300, 200), "gif")
    half = data[: len(data) // 2]
    with pytest.raises(SourceUnreadable):
        probe(half, Limits(), is_complete=True)
    info = probe(half, Limits(), is_complete=True, options=LoadOptions(strict=False))
    assert info == ImageInfo("gif", 300, 200, 1, has_alpha=True)


def test_a_gif_s_blocks_are_walked() -> None:
    data = film()
    assert gif.has_trailer(data)
    assert gif.has_trailer(data + b"trailing garbage")
    assert not any(gif.has_trailer(data[:length]) for length in range(len(data)))
    interlaced = io.BytesIO()
    pictures.scene(40, 30).convert("P").save(interlaced, "GIF", interlace=1, comment=b"; a comment ;")
    assert gif.has_trailer(interlaced.getvalue())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"<html>not found</html>" * 50, b"\xff\xd8\xff\xe0;IEND" * 9])
def test_what_follows_the_picture_does_no_harm(render: Render, name: SourceFormat, garbage: bytes) -> None:
    scene = pictures.scene(90, 60)
    data = pictures.encoded(scene, name) + garbage
    assert probe(data, Limits(), is_complete=True) == ImageInfo(name, 90, 60, 1)
    assert pictures.distance(render(data, Resize(), (90, 60)).convert("RGB"), scene) < 6


def test_a_thumbnail_inside_a_jpeg_is_not_the_picture(render: Render) -> None:
    """Cameras put one behind the EXIF tags, where its own end mark stands before the picture's."""
    scene = pictures.detailed(400, 300)
    thumbnail = pictures.encoded(Image.new("RGB", (160, 120), (255, 0, 0)), "jpeg")
    data = with_exif(pictures.encoded(scene, "jpeg"), exif_with_thumbnail(thumbnail))
    with Image.open(io.BytesIO(data)) as image:
        ifd = image.getexif().get_ifd(ExifTags.IFD.IFD1)
        assert ifd[ExifTags.Base.JpegIFByteCount] == len(thumbnail), "Pillow sees it too"
    assert probe(data, Limits(), is_complete=True) == ImageInfo("jpeg", 400, 300, 1)
    expected = scene.resize((100, 75), Image.Resampling.LANCZOS)
    assert pictures.distance(render(data, Resize(), (100, 75)), expected) < 4
    with pytest.raises(SourceUnreadable, match=r"cut off|premature"):
        render(data[: len(thumbnail) + 800], Resize(), (100, 10))


@pytest.mark.parametrize("damage", ["count", "offset", "cut", "noise", "empty"])
def test_exif_that_lies_about_its_lengths_is_not_believed(render: Render, damage: str) -> None:
    scene = pictures.scene(120, 80)
    exif = bytearray(exif_with_thumbnail(b"\xff\xd8\xff\xd9"))
    if damage == "count":
        exif[14:16] = (65_535).to_bytes(2, "little")
    elif damage == "offset":
        exif[10:14] = (4_000_000_000).to_bytes(4, "little")
    elif damage == "cut":
        del exif[20:]
    elif damage == "noise":
        exif[6:] = np.random.default_rng(5).bytes(len(exif) - 6)
    else:
        del exif[6:]
    data = with_exif(pictures.encoded(scene, "jpeg"), bytes(exif))
    assert pictures.distance(render(data, Resize(), (120, 80)), scene) < 3


def test_a_jpeg_cut_off_inside_its_exif_waits_and_then_is_refused() -> None:
    data = with_exif(pictures.encoded(pictures.scene(120, 80), "jpeg"), exif_with_thumbnail(bytes(3000)))
    assert probe(data[:2000], Limits(), is_complete=False) is None
    with pytest.raises(SourceUnreadable):
        probe(data[:2000], Limits(), is_complete=True)


def in_rows(image: Image.Image) -> bytes:
    """A GIF that is not interlaced."""
    out = io.BytesIO()
    image.convert("P").save(out, "GIF", interlace=0)
    return out.getvalue()


def with_exif(jpeg: bytes, exif: bytes) -> bytes:
    """The APP1 segment stands behind the start of the image."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def exif_with_thumbnail(thumbnail: bytes) -> bytes:
    """Exif 2.3, 4.5: a first directory with an orientation, a second one that names the thumbnail behind it."""
    first = struct.pack("<HHHIII", 1, 0x0112, 3, 1, 1, 26)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0)
    return b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + first + second + thumbnail


def test_a_message_that_quotes_no_text_is_the_files_own(render: Render) -> None:
    """libheif names a property that it does not know; the next picture's message is its own."""
    data = heif.renamed(pictures.oriented(pictures.scene(64, 48), 6, "avif"), b"irot", b"ir\xfbt")
    with pytest.raises(SourceUnreadable, match=r"item property 'ir.t'"):
        render(data, Resize(), (32, 24))
    with pytest.raises(SourceUnreadable) as refusal:
        render(pictures.encoded(pictures.scene(64, 48), "avif")[:400], Resize(), (32, 24))
    assert "property" not in refusal.value.sentence()


WHOLE_BUT_BROKEN: dict[str, tuple[bytes, int, int]] = {  # where, from a mark on, the bytes are spoilt
    "png": (b"IDAT", 60, 40),
    "webp": (b"VP8 ", 12, 30),
    "avif": (b"mdat", 8, 400),
    "tiff": (b"II*\0", 40, 300),
}


@pytest.mark.parametrize("name", WHOLE_BUT_BROKEN)
def test_a_whole_file_is_not_said_to_be_cut_off(render: Render, name: Format) -> None:
    mark, behind, length = WHOLE_BUT_BROKEN[name]
    image, out = pictures.detailed(300, 200), io.BytesIO()
    image.save(out, pictures.PILLOW_NAME[name], **({"compression": "tiff_lzw"} if name == "tiff" else {}))
    data = bytearray(out.getvalue())
    at = data.index(mark) + behind
    data[at : at + length] = b"\xff" * length
    with pytest.raises(SourceUnreadable, match="cannot be decoded") as refusal:
        render(bytes(data), Resize(), (150, 100))
    assert "save it anew" in refusal.value.sentence()
    assert "complete" not in refusal.value.sentence()
    with pytest.raises(SourceUnreadable) as refusal:
        render(bytes(out.getvalue()[:-200]), Resize(), (150, 100))
    assert "check that the file is complete" in refusal.value.sentence()
