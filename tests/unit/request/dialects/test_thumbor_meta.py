"""The answer of /meta/, as thumbor 7.8 gives it."""

import json
from typing import Any

from imgserve.request.dialects.thumbor import grammar, meta
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.geometry import Trimmed
from imgserve.request.imageinfo import ImageInfo, Size
from tests.unit.request.dialects.thumbor_samples import (
    JPEG,
    PHOTO,
    request_of,
)


def described(options: str, info: ImageInfo = JPEG, **trimmed: Any) -> dict[str, Any]:
    description: dict[str, Any] = json.loads(meta.described(request_of(f"meta/{options}"), info, Config(), **trimmed))
    return description


def test_meta() -> None:
    assert described("10x20:410x420/-200x100/filters:focal(0x0:30x40):rotate(90)") == {
        "thumbor": {
            "source": {"url": "a.jpg", "width": 100, "height": 200, "frameCount": 1},
            "operations": [
                {"type": "crop", "left": 10, "top": 20, "right": 410, "bottom": 420},
                {"type": "crop", "left": 0, "top": 0, "right": 400, "bottom": 200},
                {"type": "resize", "width": 200, "height": 100},
                {"type": "flip_horizontally"},
            ],
            "target": {"width": 200, "height": 100},
            "focal_points": [{"x": 5, "y": 0, "z": 1200, "height": 40, "width": 30, "origin": "Explicit"}],
        }
    }


def test_meta_of_a_picture_that_stays_as_it_is() -> None:
    drawing = described("x", ImageInfo("gif", 80, 60, frames=3))["thumbor"]
    assert drawing["operations"] == []
    assert drawing["source"] == {"url": "a.jpg", "width": 80, "height": 60, "frameCount": 3}
    assert drawing["target"] == {"width": 80, "height": 60}
    assert drawing["focal_points"] == [{"x": 40, "y": 30, "z": 1.0, "height": 1, "width": 1, "origin": "alignment"}]


def test_meta_has_floats_where_thumbor_has_them() -> None:
    text = meta.described(request_of("meta/fit-in/400x400"), JPEG, Config()).decode()
    assert '{"type":"resize","width":400.0,"height":300}' in text


def test_meta_of_a_trimmed_picture() -> None:
    operations = described("trim/x", size=Size(600, 400), trimmed=Trimmed(PHOTO, 50, 100))["thumbor"]["operations"]
    assert operations == [{"type": "crop", "left": 50, "top": 100, "right": 650, "bottom": 500}]


def test_meta_of_a_source_with_a_scheme_and_of_a_png_that_becomes_a_jpeg() -> None:
    request = grammar.parse("meta/filters:autojpg()/http%3A%2F%2Fb.c%2Fd%20e.png")
    assert request is not None
    description = json.loads(meta.described(request, ImageInfo("png", 8, 6), Config()))["thumbor"]
    assert description["source"]["url"] == "http%3A//b.c/d%20e.png"
    assert description["operations"] == [{"type": "auto_png_to_jpg_conversion"}]
