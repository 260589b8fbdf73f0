"""Requests, plans and random parameters for the tests of imagor's words."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from imgserve.request.dialects.dialect import Answer
from imgserve.request.dialects.thumbor import (
    imagor_canvas,
    imagor_effects,
    imagor_grammar,
    imagor_overlay,
    imagor_plan,
    masks,
)
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.dialects.thumbor.parameters import Edges, Imagor, Padding, Parameters, Trimming
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.resize import Resize

PHOTO = Size(800, 600)
JPEG = ImageInfo("jpeg", 800, 600)
FILM = ImageInfo("gif", 800, 600, frames=5)


def parsed(text: str) -> Request:
    request = imagor_grammar.parse(text)
    assert request is not None
    return request


def asked(options: str) -> Parameters:
    return parsed(f"{options}/a.jpg").parameters


def of(**imagor: Any) -> Parameters:
    return Parameters(imagor=Imagor(**imagor))


def made(options: str, size: Size = PHOTO, *, has_alpha: bool = False, is_animated: bool = False) -> imagor_plan.Made:
    return imagor_plan.operations(asked(options), size, has_alpha=has_alpha, is_animated=is_animated)


def to(width: int, height: int) -> Resize:
    return Resize(width, height, fit="fill", if_small="enlarge", linear_light=False)


def cut(left: int, top: int, width: int, height: int) -> Crop:
    return Crop(left=left, top=top, width=width, height=height)


sides = st.integers(0, 12_000)
decimals = st.decimals(0, 300, places=4).map(float)
signed = st.decimals(-300, 300, places=3).map(float)
colors = st.sampled_from(["red", "auto", "blur", "none", "0f0", "nothing", ""])
some_colors = colors.filter(bool)
places = st.sampled_from(["0", "-10", "20p", "-5p", "0.5", "-0.25", "repeat", "center", "left", "r", "top-20", "b-3"])
ratios = st.sampled_from(["", "none", "40", "0"])
urls = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1)
edges = st.builds(lambda left, top, wide, high: Edges(left, top, left + wide, top + high), *[decimals] * 2, *[
    st.decimals("0.001", 300, places=3).map(float)
] * 2).map(lambda box: Edges(*[round(edge, 4) for edge in msgspec.structs.astuple(box)]))  # fmt: skip
any_filter = st.one_of(
    st.builds(imagor_effects.Brightness, signed),
    st.builds(imagor_effects.Contrast, signed),
    st.builds(imagor_effects.Rgb, signed, signed, signed),
    st.builds(imagor_effects.Modulated, signed, signed, signed),
    st.builds(imagor_effects.Soft, decimals, decimals),
    st.builds(imagor_effects.Sharp, decimals, decimals),
    st.builds(imagor_effects.Pixelated, sides),
    st.builds(imagor_canvas.Fill, colors),
    st.builds(imagor_canvas.Padded, some_colors, st.integers(0, 99), st.integers(-1, 99)),
    st.builds(imagor_canvas.BackgroundColor, some_colors),
    st.builds(imagor_canvas.RoundCorner, sides, sides, colors),
    st.builds(imagor_canvas.Turn, st.sampled_from([0, 90, 180, 270, 45])),
    st.builds(imagor_canvas.Proportion, decimals),
    st.builds(imagor_canvas.Cropped, *[decimals] * 4),
    st.builds(imagor_overlay.Watermark, urls, places, places, decimals, some_ratios := st.sampled_from(["none", "40"]),
              some_ratios),
    st.builds(imagor_overlay.Image, urls, places, places, decimals, st.sampled_from(["normal", "screen"])),
    st.builds(masks.Grain, sides),
)  # fmt: skip
any_imagor = st.builds(
    Imagor,
    padding=st.builds(Padding, *[st.integers(0, 50)] * 4),
    orient=st.sampled_from([0, 90, 180, 270]),
    is_enlarged=st.none() | st.booleans(),
    page=st.integers(0, 9),
    dpi=st.integers(0, 300),
    max_frames=st.integers(0, 9),
    is_lossless=st.booleans(),
    has_palette=st.booleans(),
    bit_depth=st.sampled_from([0, 8, 10, 16]),
    profile=st.sampled_from(["source", "srgb", "p3"]),
    has_metadata=st.booleans(),
)
any_parameters = st.builds(
    Parameters,
    trim=st.none() | st.builds(Trimming, st.sampled_from(["top-left", "bottom-right"]), st.integers(1, 255)),
    crop=st.none() | edges,
    fit=st.sampled_from(["", "fit-in", "full-fit-in", "adaptive-fit-in"]),
    width=sides,
    height=sides,
    is_flopped=st.booleans(),
    is_flipped=st.booleans(),
    halign=st.sampled_from(["left", "center", "right"]),
    valign=st.sampled_from(["top", "middle", "bottom"]),
    is_smart=st.booleans(),
    filters=st.lists(any_filter, max_size=4).map(tuple),
    focals=st.lists(edges, max_size=2).map(tuple),
    is_stretched=st.booleans(),
    format=st.sampled_from([None, "jpeg", "tiff", "jxl"]),
    quality=st.none() | st.integers(1, 100),
    max_bytes=st.none() | st.integers(100, 999_999_999),
    is_meta=st.booleans(),
    imagor=any_imagor,
)
sources = st.one_of(
    st.text(st.characters(categories=["L", "N", "P", "S", "Z", "Cc"]), min_size=1),
    st.sampled_from(["meta/a", "5x6/a", "filters:blur(1)/a", "https://a.b/c?d=e#f", "b64:YQ", "%41", "stretch/a"]),
).filter(lambda source: not source.startswith("/"))
answers = st.builds(
    Answer,
    filename=st.text(st.characters(categories=["L", "N", "P"])),
    is_attachment=st.just(True),
    max_age_s=st.none() | st.integers(0, 10**8),
    expires_at_s=st.none() | st.integers(1, 10**10),
)
