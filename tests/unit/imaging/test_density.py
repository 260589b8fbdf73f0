"""Dots per inch: a result states those of its source on every road, in the formats that have a place for them."""

import io
from typing import Any

import pytest
from PIL import ExifTags, Image

from imgserve.imaging.worker.formats import density
from imgserve.request.encode import Encode, Format
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Operation
from tests.support import pictures
from tests.unit.imaging.conftest import opened, picture
from tests.unit.imaging.test_encode import file_of

SCENE = pictures.scene(640, 420)
ROADS = ((), (Resize(width=320),), (Resize(width=320), Flop()), (Resize(width=320, kernel="nearest"),))
STATING: tuple[Format, ...] = ("jpeg", "png", "tiff")


def file(name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    SCENE.save(out, pictures.PILLOW_NAME[name], **options)
    return out.getvalue()


def exif(across: float, down: float, unit: int | None = 2, orientation: int = 1) -> bytes:
    block = Image.Exif()
    block[ExifTags.Base.XResolution], block[ExifTags.Base.YResolution] = across, down
    if unit is not None:
        block[ExifTags.Base.ResolutionUnit] = unit
    block[ExifTags.Base.Orientation] = orientation
    return block.tobytes()


def dots(image: Image.Image) -> tuple[int, int] | None:
    stated = image.info.get("dpi")
    return None if stated is None else (round(stated[0]), round(stated[1]))


@pytest.mark.parametrize("operations", ROADS)
@pytest.mark.parametrize("output", STATING)
@pytest.mark.parametrize("name", STATING)
def test_they_are_kept(name: str, output: Format, operations: tuple[Operation, ...]) -> None:
    assert dots(picture(file(name, dpi=(300, 150)), *operations, output_format=output)) == (300, 150)


@pytest.mark.parametrize("operations", ROADS)
@pytest.mark.parametrize("name", ["jpeg", "webp", "gif", "tiff", "avif"])
def test_a_source_that_states_none(name: str, operations: tuple[Operation, ...]) -> None:
    data = file(name)
    assert dots(picture(data, *operations, output_format="png")) == (72, 72)
    assert dots(picture(data, *operations, output_format="tiff")) == (72, 72)
    assert picture(data, *operations, output_format="jpeg").info["jfif_unit"] == 0


@pytest.mark.parametrize("operations", ROADS)
@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (exif(200, 100), (200, 100)),
        (exif(100, 50, unit=3), (254, 127)),
        (exif(200, 100, unit=None), (200, 100)),
        (exif(200, 100, orientation=6), (100, 200)),
        (exif(0, 0), (300, 300)),
        (exif(200, 100, unit=1), (300, 300)),
        (b"Exif\0\0II*\0", (300, 300)),
        (b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x1a\x01\x05\0\xff\xff\xff\xff", (300, 300)),
    ],
)
def test_those_of_exif_go_first(block: bytes, expected: tuple[int, int], operations: tuple[Operation, ...]) -> None:
    data = file("jpeg", dpi=(300, 300), exif=block)
    assert dots(picture(data, *operations, output_format="png")) == expected
    assert dots(picture(data, *operations, output_format="jpeg")) == expected


@pytest.mark.parametrize(
    "encode",
    [
        Encode("jpeg", progressive=True),
        Encode("jpeg", effort="best"),
        Encode("jpeg", max_bytes=20_000),
        Encode("jpeg", profile="p3"),
        Encode("png", colors=16),
        Encode("png", effort="fast"),
    ],
)
def test_each_encoder(encode: Encode) -> None:
    assert dots(opened(file_of(encode, file("jpeg", dpi=(300, 150)), (320, 210)))) == (300, 150)


@pytest.mark.parametrize(
    "segment", [b"", b"JFIF\0", b"JFIF\0\1\1\1\1", b"JFIF\0\1\1\3\1\0\1\0", b"JFIF\0\1\1\1" + bytes(4)]
)
def test_a_segment_that_states_none(segment: bytes) -> None:
    data = b"\xff\xd8\xff\xe0" + (len(segment) + 2).to_bytes(2, "big") + segment + b"\xff\xda\0\0"
    assert density.of_jpeg(data) is None
