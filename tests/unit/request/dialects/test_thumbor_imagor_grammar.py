"""imagor's URLs: which part is what, and that a generated URL is read as it was meant."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.request.dialects.dialect import Answer
from imgserve.request.dialects.thumbor import (
    imagor_grammar,
)
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.dialects.thumbor.parameters import Edges, Imagor, Padding, Parameters, Trimming
from tests.support.sizes import sized
from tests.unit.request.dialects.imagor_samples import answers, any_parameters, asked, of, parsed, sources
from tests.unit.request.test_properties import steady


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("trim", Parameters(trim=Trimming("top-left", 1), imagor=Imagor())),
        ("trim:10", Parameters(trim=Trimming("top-left", 10), imagor=Imagor())),
        ("trim:bottom-right:10", Parameters(trim=Trimming("bottom-right", 10), imagor=Imagor())),
        ("0.1x.2:0.5x1", Parameters(crop=Edges(0.1, 0.2, 0.5, 1), imagor=Imagor())),
        ("10x20:30x40", Parameters(crop=Edges(10, 20, 30, 40), imagor=Imagor())),
        ("stretch/300x200", Parameters(width=300, height=200, is_stretched=True, imagor=Imagor())),
        ("300x200/5x6", Parameters(width=300, height=200, imagor=Imagor(Padding(5, 6, 5, 6)))),
        ("0x0/5x6:7x8", of(padding=Padding(5, 6, 7, 8))),
        ("fit-in/-300x/left/top/smart", Parameters(
            fit="fit-in", width=300, is_flopped=True, halign="left", valign="top", is_smart=True, imagor=Imagor())),
        ("filters:upscale()", of(is_enlarged=True)),
        ("filters:upscale():no_upscale()", of(is_enlarged=False)),
        ("filters:orient(90)", of(orient=90)),
        ("filters:orient(45)", of()),
        ("filters:page(3):dpi(99999)", of(page=3, dpi=2400)),
        ("filters:max_frames(7):lossless():palette():bitdepth(16)", of(
            max_frames=7, is_lossless=True, has_palette=True, bit_depth=16)),
        ("filters:strip_metadata()", of(has_metadata=False, profile="srgb")),
        ("filters:strip_exif():to_colorspace(p3)", of(has_metadata=False, profile="p3")),
        ("filters:strip_icc()", of(profile="srgb")),
        ("filters:format(tiff)", Parameters(format="tiff", imagor=Imagor())),
        ("filters:focal(0.1x0.2:0.3x.4)", Parameters(focals=(Edges(0.1, 0.2, 0.3, 0.4),), imagor=Imagor())),
        ("filters:focal(3x4:1x2)", of()),
        ("filters:focal(3)", of()),
        ("filters:focal(3x4)", Parameters(focals=(Edges(3, 4, 3, 4),), imagor=Imagor())),
        ("filters:focal(3,4)", Parameters(focals=(Edges(3, 4, 3, 4),), imagor=Imagor())),
        ("filters:autojpg()", Parameters(format="jpeg", imagor=Imagor())),
        ("filters:attachment(a.b.jpg):expire(1000):preview()", of()),
    ],
)  # fmt: skip
def test_each_part(options: str, expected: Parameters) -> None:
    assert asked(options) == expected


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("origx200/a.jpg", "origx200/a.jpg"),
        ("//300x200/a.jpg", "a.jpg"),
        ("300x200/filters:watermark(http://b/(1)/c.png,0,0,0)/a.jpg", "a.jpg"),
        ("filters:image(/fit-in/10x10/filters:blur(2):fill(red)/b.png,0,0):blur(3)/a.jpg", "a.jpg"),
        ("b64:aHR0cDovL2IuYy9kIGUuanBn", "http://b.c/d e.jpg"),
        ("b64:%%%", "b64:%%%"),
        ("a%20b.jpg", "a b.jpg"),
        ("meta%2Fa.jpg", "meta/a.jpg"),
    ],
)
def test_the_source(text: str, source: str) -> None:
    assert parsed(text).source == source


@pytest.mark.parametrize("text", ["", "%FF", "filters:blur(3)", "filters:blur(3)/", "filters:blur(3"])
def test_no_source(text: str) -> None:
    assert imagor_grammar.parse(text) is None


def test_answers() -> None:
    answer = parsed("filters:attachment(a.b.jpg):expire(1500):max_age(0)/a.jpg").answer
    assert answer == Answer(filename="a.b", is_attachment=True, expires_at_s=1, max_age_s=0)
    assert parsed("filters:raw()/a.jpg").answer.kind == "raw"
    assert parsed("meta/a.jpg").answer.kind == "info"


@settings(steady, max_examples=sized(100, 2000))
@given(any_parameters, sources, st.just(Answer()) | answers)
def test_a_generated_url_is_read_as_it_was_meant(parameters: Parameters, source: str, answer: Answer) -> None:
    answer = msgspec.structs.replace(answer, kind="info" if parameters.is_meta else "picture")
    request = Request(source, parameters, answer)
    assert imagor_grammar.parse(imagor_grammar.generate(request)) == request


@settings(steady, max_examples=sized(100, 2000))
@given(st.text(st.sampled_from("()':,/x0%2F-afilters: "), max_size=60))
def test_what_is_read_can_be_generated(text: str) -> None:
    request = imagor_grammar.parse(f"filters:{text}/a.jpg")
    if request is not None:
        assert imagor_grammar.parse(imagor_grammar.generate(request)) == request


def test_a_path_of_a_megabyte_is_read_at_once() -> None:
    for text in ("(" * 1_000_000, "a(1):" * 200_000, "a(" + "," * 1_000_000 + ")"):
        imagor_grammar.parse(f"filters:{text}/a.jpg")
