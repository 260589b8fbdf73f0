"""What a header tells, from how few bytes, and what is refused before anything is decoded."""

import gzip
import zlib

import pytest

from imgserve.imaging.faults import PictureTooLarge, SourceUnreadable, SvgInvalid
from imgserve.imaging.worker.probe import needs_whole, probe
from imgserve.request.imageinfo import ImageInfo, SourceFormat
from imgserve.request.limits import Limits
from imgserve.request.recipe import LoadOptions
from tests.support import pictures

LIMITS = Limits()


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif", "tiff", "avif"])
def test_size_and_format(name: SourceFormat) -> None:
    data = pictures.encoded(pictures.scene(123, 45), name)
    assert probe(data, LIMITS, is_complete=True) == ImageInfo(name, 123, 45, 1)


@pytest.mark.parametrize("name", ["jpeg", "png"])
def test_jpeg_and_png_answer_early_and_never_wrongly(name: SourceFormat) -> None:
    data = pictures.encoded(pictures.detailed(640, 480), name, profile=pictures.wide_gamut_profile())
    answers = [probe(data[:length], LIMITS, is_complete=False) for length in range(0, 4000, 13)]
    assert answers[0] is None
    assert answers[-1] == ImageInfo(name, 640, 480, 1)
    assert {answer for answer in answers if answer is not None} == {answers[-1]}


@pytest.mark.parametrize("name", ["webp", "gif", "tiff", "avif"])
def test_the_others_wait_for_the_end(name: SourceFormat) -> None:
    data = pictures.encoded(pictures.scene(64, 48), name)
    assert all(probe(data[:length], LIMITS, is_complete=False) is None for length in range(0, len(data), 97))


@pytest.mark.parametrize("name", ["webp", "gif", "tiff", "avif"])
def test_a_beginning_of_them_says_so(name: SourceFormat) -> None:
    assert needs_whole(pictures.encoded(pictures.scene(64, 48), name)[:80], LoadOptions())


def test_a_longer_beginning_may_do_for_the_early_ones_and_for_what_is_not_known_yet() -> None:
    jpeg = pictures.encoded(pictures.scene(64, 48), "jpeg")
    assert not needs_whole(jpeg[:80], LoadOptions())
    assert not needs_whole(jpeg[:20], LoadOptions())
    assert needs_whole(jpeg[:80], LoadOptions(page=1)), "pages are counted from all bytes"


@pytest.mark.parametrize("data", [gzip.compress(pictures.svg("<rect/>")), pictures.svg("<rect/>" * 20)])
def test_a_drawing_is_looked_at_while_it_comes(data: bytes) -> None:
    """One document, but it may be longer than an SVG may be."""
    assert not needs_whole(data[:100], LoadOptions())


@pytest.mark.parametrize("orientation", pictures.ORIENTATIONS)
def test_the_size_is_the_upright_one(orientation: int) -> None:
    data = pictures.oriented_jpeg(pictures.scene(120, 40), orientation)
    assert probe(data, LIMITS, is_complete=True) == ImageInfo("jpeg", 120, 40, 1, orientation)


@pytest.mark.parametrize(("mode", "has_alpha"), [("RGB", False), ("RGBA", True)])
@pytest.mark.parametrize("name", ["png", "webp", "tiff", "avif"])
def test_an_alpha_channel_is_told(name: SourceFormat, mode: str, has_alpha: bool) -> None:
    info = probe(pictures.encoded(pictures.scene(64, 48, mode), name), LIMITS, is_complete=True)
    assert info is not None
    assert info.has_alpha == has_alpha


def test_an_svg_answers_when_complete_and_precisely() -> None:
    data = pictures.svg("<rect/>", 'viewBox="0 0 3 2.5"')
    assert probe(data[:-3], LIMITS, is_complete=False) is None
    info = probe(data, LIMITS, is_complete=True)
    assert info is not None
    assert info.is_svg
    assert (info.width_px, info.height_px) == pytest.approx((3, 2.5), abs=0.001)


def test_frames_are_counted() -> None:
    info = probe(pictures.animation(12), LIMITS, is_complete=True)
    assert info == ImageInfo("gif", 40, 30, 12, has_alpha=True)


@pytest.mark.parametrize(
    ("data", "limits", "name"),
    [
        (pictures.encoded(pictures.scene(100, 100), "png"), Limits(frame_pixels=9_999), "frame_pixels"),
        (pictures.animation(12), Limits(frames=11), "frames"),
        (pictures.animation(12), Limits(total_pixels=40 * 30 * 12 - 1), "total_pixels"),
        (pictures.svg("<rect/>" * 100), Limits(svg_bytes=200), "svg_bytes"),
    ],
)
def test_limits_are_named(data: bytes, limits: Limits, name: str) -> None:
    assert probe(data, LIMITS, is_complete=True) is not None
    with pytest.raises(PictureTooLarge, match=f"{name} ="):
        probe(data, limits, is_complete=True)


def test_an_svg_beyond_the_limit_is_refused_while_it_still_comes() -> None:
    with pytest.raises(PictureTooLarge, match="svg_bytes"):
        probe(pictures.svg("<rect/>" * 100)[:-9], Limits(svg_bytes=200), is_complete=False)


def test_a_bomb_in_the_header_is_refused_before_it_is_decoded() -> None:
    png = bytearray(pictures.encoded(pictures.scene(8, 8), "png"))
    png[16:24] = (60_000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    with pytest.raises(PictureTooLarge, match="frame_pixels"):
        probe(bytes(png), LIMITS, is_complete=True)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"hello, world " * 9, "known kind"),
        (b"<!DOCTYPE html><html><body>not found</body></html>" * 3, "web page"),
        (b"BM" + bytes(90), "known kind"),
        (b"8BPS" + bytes(90), "Photoshop"),
        (b"\xff\x0a" + bytes(90), "JPEG XL"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90), "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp42isom" + bytes(90), "film"),
        (b"\x1f\x8b\x08" + bytes(90), "gzip"),
        (b"%PDF-1.7" + bytes(90), "PDF"),
    ],
)
def test_other_kinds_are_named(data: bytes, what: str) -> None:
    with pytest.raises(SourceUnreadable, match=what):
        probe(data, LIMITS, is_complete=True)


def test_a_broken_svg_is_an_invalid_svg() -> None:
    with pytest.raises(SvgInvalid):
        probe(pictures.svg("<rect/>")[:-8], LIMITS, is_complete=True)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif", "tiff", "avif"])
def test_a_broken_header_is_unreadable(name: SourceFormat) -> None:
    data = pictures.encoded(pictures.scene(100, 100), name)
    with pytest.raises(SourceUnreadable, match="cannot be decoded"):
        probe(data[:24] + bytes(100), LIMITS, is_complete=True)
