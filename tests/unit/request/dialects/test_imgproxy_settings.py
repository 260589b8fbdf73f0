"""What each setting of imgproxy's grammar changes in the picture, or in the answer, that a URL asks for."""

import base64
from typing import Any

import msgspec
import pytest

from imgserve.request.dialects.dialect import Negotiable
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.grammar import Grammar
from imgserve.request.dialects.imgproxy.parameters import Watermark
from imgserve.request.dialects.imgproxy.refused import InvalidUrl, OptionForbidden

URL = "https://example.com/photos/cat.jpg"
ENCODED = base64.urlsafe_b64encode(URL.encode()).decode().rstrip("=")


def grammar(**settings: Any) -> Grammar:
    return Grammar(Config(**settings), allow_unsigned=True)


USUAL = grammar()


@pytest.mark.parametrize(
    ("settings", "options", "fields"),
    [
        ({"quality": 33, "format_quality": ()}, "", {"qualities": (("avif", 33), ("jpeg", 33), ("webp", 33))}),
        ({"format_quality": ("webp=70",)}, "", {"qualities": (("avif", 80), ("jpeg", 80), ("webp", 70))}),
        ({"preferred_formats": ("webp",)}, "", {"preferred": ("webp",)}),
        ({"skip_processing_formats": ("gif", "svg")}, "w:10/", {"skip_processing": ("gif", "svg")}),
        ({"always_rasterize_svg": True}, "", {"rasterize_svg": True}),
        ({"auto_rotate": False}, "", {"auto_rotate": False}),
        ({"strip_metadata": False}, "", {"strip_metadata": False}),
        ({"keep_copyright": False}, "", {"keep_copyright": False}),
        ({"strip_color_profile": False}, "", {"strip_color_profile": False}),
        ({"watermark": "logo"}, "wm:1/", {"watermark": Watermark(1.0, name="logo")}),
        ({"watermark": "logo", "watermark_opacity": 0.5}, "wm:1/", {"watermark": Watermark(1.0, 0.5, name="logo")}),
        ({"max_src_resolution": 3}, "", {"max_source_pixels": 3_000_000}),
        ({"max_src_file_size": 99}, "", {"max_source_bytes": 99}),
        ({"max_animation_frames": 7}, "", {"max_frames": 7}),
        ({"max_animation_frame_resolution": 2}, "", {"max_frame_pixels": 2_000_000}),
        ({"max_result_dimension": 640}, "", {"max_result_dimension": 640}),
    ],
)
def test_what_a_picture_gets_of_the_settings(settings: dict[str, Any], options: str, fields: dict[str, Any]) -> None:
    path = f"/_/{options}{ENCODED}"
    usual = USUAL.parse(path, Negotiable(), 0.0).parameters
    wanted = msgspec.structs.replace(usual, **fields)
    assert grammar(**settings).parse(path, Negotiable(), 0.0).parameters == wanted != usual


def test_another_separator() -> None:
    asked = grammar(arguments_separator=";").parse(f"/_/rs;fill;30;20/{ENCODED}", Negotiable(), 0.0)
    assert (asked.parameters.width, asked.parameters.height) == (30, 20)
    with pytest.raises(InvalidUrl):
        USUAL.parse(f"/_/rs;fill;30;20/{ENCODED}", Negotiable(), 0.0)


def test_pictures_that_browsers_save() -> None:
    for grammar_, is_attachment in ((grammar(return_attachment=True), True), (USUAL, False)):
        assert grammar_.parse(f"/_/{ENCODED}", Negotiable(), 0.0).answer.is_attachment is is_attachment
    assert not grammar(return_attachment=True).parse(f"/_/att:0/{ENCODED}", Negotiable(), 0.0).answer.is_attachment


def test_limits_of_the_url_if_they_are_allowed() -> None:
    path = f"/_/mrd:64/{ENCODED}"
    allowed = grammar(allow_security_options=True).parse(path, Negotiable(), 0.0)
    assert allowed.parameters.max_result_dimension == 64
    with pytest.raises(OptionForbidden):
        USUAL.parse(path, Negotiable(), 0.0)
