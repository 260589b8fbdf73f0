"""Animated PNG: each frame against Pillow's reading; into a format without frames goes the default image."""

import io
import itertools
import re
import struct
import zlib

import pytest
from PIL import Image, ImageSequence

from imgserve.imaging.faults import PictureTooLarge, SourceUnreadable
from imgserve.imaging.worker.formats import apng
from imgserve.imaging.worker.probe import probe
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from tests.support import pictures
from tests.unit.imaging.conftest import Render, facts, render_bytes

LIMITS = Limits()
SIZE = (48, 32)
FRAMES = [pictures.scene(*SIZE).rotate(angle) for angle in (0, 90, 180, 270)]
DELAYS = [40, 60, 80, 100]


def film(frames: list[Image.Image] = FRAMES, **options: object) -> bytes:
    return pictures.film(frames, "png", DELAYS[: len(frames)], 3, **options)


def frames_of(data: bytes) -> list[Image.Image]:
    return [frame.convert("RGBA") for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]


def with_chunk(data: bytes, at: int, contents: bytes) -> bytes:
    """With these contents, as long as before, in the chunk whose kind stands at ``at``."""
    body = data[at : at + 4] + contents
    return data[:at] + body + struct.pack(">I", zlib.crc32(body)) + data[at + len(body) + 4 :]


def with_count(data: bytes, count: int) -> bytes:
    return with_chunk(data, data.index(b"acTL"), struct.pack(">II", count, 0))


@pytest.mark.parametrize(
    ("mode", "disposal", "blend"),
    [*itertools.product(["RGB", "RGBA"], [0, 1, 2], [0, 1]), ("L", 0, 0)],  # more Pillow cannot write
)
def test_all_frames_become_webp(mode: str, disposal: int, blend: int) -> None:
    scenes = [frame.convert(mode) for frame in FRAMES]
    data = film(scenes, disposal=disposal, blend=blend)
    assert facts(probe(data, LIMITS, is_complete=True)) == ("png", *SIZE, 4)
    assert facts(probe(data[:2000], LIMITS, is_complete=False)) == ("png", *SIZE, 4)
    result = render_bytes(data, Resize(), SIZE, "webp")
    assert Image.open(io.BytesIO(result)).info["loop"] == 3
    shown, expected = frames_of(result), frames_of(data)
    assert len(shown) == len(expected) == 4
    for one, other in zip(shown, expected, strict=True):
        assert pictures.distance(one, other) < 5


@pytest.mark.parametrize("times", [65_537, 2**31, 2**32 - 1])
def test_more_repetitions_than_other_formats_count(times: int) -> None:
    data = film()
    at = data.index(b"acTL")
    data = with_chunk(data, at, data[at + 4 : at + 8] + struct.pack(">I", times))
    assert Image.open(io.BytesIO(render_bytes(data, Resize(), SIZE, "webp"))).info["loop"] == 65_535
    assert Image.open(io.BytesIO(render_bytes(data, Resize(), SIZE, "gif"))).info["loop"] == 65_534  # after the first


def test_longer_delays_than_other_formats_have() -> None:
    data = film()
    for match in list(re.finditer(b"fcTL", data)):
        body = data[match.end() : match.end() + 26]
        data = with_chunk(data, match.start(), body[:20] + struct.pack(">HH", 65_535, 1) + body[24:])
    for name, most_ms in (("gif", 655_350), ("webp", 2**24 - 1)):
        result = Image.open(io.BytesIO(render_bytes(data, Resize(), SIZE, name)))  # type: ignore[arg-type]
        delays = []
        for number in range(4):
            result.seek(number)
            result.load()
            delays.append(result.info["duration"])
        assert delays == [most_ms] * 4


def test_palettes_become_colours() -> None:
    data = film([frame.quantize(8, dither=Image.Dither.NONE) for frame in FRAMES])
    shown, expected = frames_of(render_bytes(data, Resize(), SIZE, "gif")), frames_of(data)
    for one, other in zip(shown, expected, strict=True):
        assert pictures.distance(one, other) < 2


def test_delays_are_kept() -> None:
    result = Image.open(io.BytesIO(render_bytes(film(), Resize(), (24, 16), "webp")))
    delays = []
    for number in range(4):
        result.seek(number)
        result.load()
        delays.append(result.info["duration"])
    assert delays == DELAYS


def test_into_a_format_without_frames_goes_the_default_image(render: Render) -> None:
    shown = pictures.scene(*SIZE).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    data = pictures.film([shown, *FRAMES], "png", DELAYS, 0, default_image=True)
    assert facts(probe(data, LIMITS, is_complete=True)) == ("png", *SIZE, 4)
    assert pictures.distance(render(data, Resize(), SIZE), shown) == 0
    result = render_bytes(data, Resize(), SIZE, "webp")
    assert len(frames_of(result)) == 4
    assert pictures.distance(frames_of(result)[0], FRAMES[0].convert("RGBA")) < 5


def test_a_profile_is_converted_in_each_frame() -> None:
    data = film(icc_profile=pictures.wide_gamut_profile())
    still = render_bytes(data, Resize(), SIZE, "png")
    first = frames_of(render_bytes(data, Resize(), SIZE, "webp"))[0]
    expected = Image.open(io.BytesIO(still)).convert("RGBA")
    assert pictures.distance(expected, FRAMES[0].convert("RGBA")) > 2
    assert pictures.distance(first, expected) < 3


def test_frames_are_judged_by_the_header() -> None:
    with pytest.raises(PictureTooLarge, match="limit frames"):
        probe(with_count(film(), 257), LIMITS, is_complete=True)
    with pytest.raises(PictureTooLarge, match="total_pixels"):
        probe(film(), Limits(total_pixels=48 * 32 * 4 - 1), is_complete=True)


def test_a_frame_that_is_missing_is_a_fault() -> None:
    with pytest.raises(SourceUnreadable, match="cannot be decoded"):
        render_bytes(with_count(film(), 5), Resize(), SIZE, "webp")


def test_without_strictness_the_last_whole_frame_stays() -> None:
    data = film()
    third = data.index(b"fdAT", data.index(b"fdAT") + 4)
    cut = data[: third + 12]
    with pytest.raises(SourceUnreadable):
        render_bytes(cut, Resize(), SIZE, "webp")
    result = Image.open(io.BytesIO(render_bytes(cut, Resize(), SIZE, "webp", strict=False)))
    result.seek(1)
    assert pictures.distance(result.convert("RGB"), FRAMES[1]) < 5
    result.seek(result.n_frames - 1)  # type: ignore[attr-defined]
    assert pictures.distance(result.convert("RGB"), FRAMES[1]) < 5


def test_a_still_picture_has_one_frame() -> None:
    assert apng.frames(pictures.encoded(FRAMES[0], "png")) == 1
    assert apng.frames(with_count(film(), 0)) == 1
    assert apng.frames(b"\x89PNG\r\n\x1a\n") == 1


def test_a_delay_without_a_denominator_is_in_hundredths() -> None:
    data = bytearray(film())
    at = data.index(b"fcTL") + 4 + 20
    data[at : at + 4] = struct.pack(">HH", 7, 0)
    assert apng.film(bytes(data)).delays_ms == [70, *DELAYS[1:]]
