"""thumbor's URLs: which part is what, and that a generated URL is read as it was meant."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.request.dialects.dialect import Answer
from imgserve.request.dialects.thumbor import canvas, effects, filters, grammar, masks, watermark
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.dialects.thumbor.parameters import Edges, Parameters, Trimming
from imgserve.request.dialects.thumbor.stage import Filter
from tests.support.sizes import sized
from tests.unit.request.dialects.thumbor_samples import any_parameters, sources
from tests.unit.request.test_properties import steady

SOURCE = "example.com/a.jpg"


def parsed(text: str) -> Request:
    request = grammar.parse(text)
    assert request is not None
    return request


def asked(options: str) -> Parameters:
    request = parsed(f"{options}/{SOURCE}")
    assert request.source == SOURCE
    return request.parameters


def drawn(*texts: str) -> tuple[Filter, ...]:
    return asked(f"filters:{':'.join(texts)}").filters


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("debug", Parameters(is_debug=True)),
        ("trim", Parameters(trim=Trimming())),
        ("trim:top-left", Parameters(trim=Trimming())),
        ("trim:bottom-right", Parameters(trim=Trimming("bottom-right"))),
        ("trim:top-left:10", Parameters(trim=Trimming("top-left", 10))),
        # The number stands where thumbor looks for the corner.
        ("trim:10", Parameters(trim=Trimming("bottom-right"))),
        ("trim:top-left:99999999999999999999", Parameters(trim=Trimming("top-left", 442))),
        ("10x20:300x400", Parameters(crop=Edges(10, 20, 300, 400))),
        ("0x0:0x0", Parameters()),
        ("fit-in", Parameters(fit="fit-in")),
        ("full-fit-in", Parameters(fit="full-fit-in")),
        ("adaptive-fit-in", Parameters(fit="adaptive-fit-in")),
        ("adaptive-full-fit-in", Parameters(fit="adaptive-full-fit-in")),
        ("300x200", Parameters(width=300, height=200)),
        ("x200", Parameters(height=200)),
        ("300x", Parameters(width=300)),
        ("x", Parameters()),
        ("origxorig", Parameters(width="orig", height="orig")),
        ("-0x-0", Parameters(is_flopped=True, is_flipped=True)),
        ("-x", Parameters(is_flopped=True)),
        ("-300x-200", Parameters(width=300, height=200, is_flopped=True, is_flipped=True)),
        ("0000000000000300x1" + "0" * 5000, Parameters(width=300, height=999_999_999)),
        ("left", Parameters(halign="left")),
        ("right/bottom", Parameters(halign="right", valign="bottom")),
        ("center/middle", Parameters()),
        ("top/smart", Parameters(valign="top", is_smart=True)),
        (
            "debug/trim/1x2:3x4/fit-in/-5x6/left/top/smart",
            Parameters(
                is_debug=True,
                trim=Trimming(),
                crop=Edges(1, 2, 3, 4),
                fit="fit-in",
                width=5,
                height=6,
                is_flopped=True,
                halign="left",
                valign="top",
                is_smart=True,
            ),
        ),
    ],
)
def test_each_part(options: str, expected: Parameters) -> None:
    assert asked(options) == expected


@pytest.mark.parametrize(
    ("text", "source"),
    [
        # Out of order: the rest belongs to the source.
        ("smart/300x200/a.jpg", "300x200/a.jpg"),
        ("300x200/fit-in/a.jpg", "fit-in/a.jpg"),
        ("top/left/a.jpg", "left/a.jpg"),
        ("300x200/300x200/a.jpg", "300x200/a.jpg"),
        # Almost an option.
        ("300X200/a.jpg", "300X200/a.jpg"),
        ("trim:/a.jpg", "trim:/a.jpg"),
        ("fit-in-/a.jpg", "fit-in-/a.jpg"),
        ("1x2:3x/a.jpg", "1x2:3x/a.jpg"),
        ("\u0663x4/a.jpg", "\u0663x4/a.jpg"),
        # The source is never empty, so the last segment is its own.
        ("300x200", "300x200"),
        ("300x200/", "300x200/"),
        ("fit-in/300x200/", "300x200/"),
        ("filters:blur(3)/", "filters:blur(3)/"),
        ("filters:blur(3)", "filters:blur(3)"),
        ("filters:)/a.jpg", "filters:)/a.jpg"),
        # Decoded once.
        ("a%2520b%3Fc=d", "a%20b?c=d"),
        ("300%78200/a.jpg", "300x200/a.jpg"),
        ("meta%2Fa.jpg", "meta/a.jpg"),
        ("https://example.com//a.jpg", "https://example.com//a.jpg"),
        # The first ")/" ends the filters.
        ("filters:watermark(http://b/(1)/c.png,0,0,0)/a.jpg", "c.png,0,0,0)/a.jpg"),
    ],
)
def test_what_does_not_fit_belongs_to_the_source(text: str, source: str) -> None:
    assert parsed(text).source == source


@pytest.mark.parametrize("text", ["", "%FF", "filters:format(%FF)/a.jpg", "300x200/%80", "\udcff.jpg"])
def test_no_source_and_no_utf_8(text: str) -> None:
    assert grammar.parse(text) is None


def test_meta_is_an_answer_of_its_own() -> None:
    request = parsed("meta/300x200/a.jpg")
    assert request.answer == Answer(kind="info")
    assert request.parameters == Parameters(width=300, height=200, is_meta=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("brightness(-20)", effects.Brightness(-20)),
        ("brightness( 20 )", effects.Brightness(20)),
        ("brightness(20)junk)", effects.Brightness(20)),
        ("contrast(40)", effects.Contrast(40)),
        ("rgb(1, -2 ,3)", effects.Rgb(1, -2, 3)),
        ("colorize(10,20,30,FFaa00)", effects.Colorize(10, 20, 30, "ffaa00")),
        ("grayscale()", effects.Gray()),
        ("blur(7)", masks.Soft(7)),
        ("blur(7, 2.5)", masks.Soft(7, 2.5)),
        ("saturation(-.5)", masks.Saturation(-0.5)),
        ("equalize()", masks.Equalized()),
        ("noise(40)", masks.Grain(40)),
        ("noise(40,7)", masks.Grain(40, 7)),
        ("convolution(1;-2.5;1.,3)", masks.Convolution((1, -2.5, 1), 3)),
        ("convolution(1;2;1,1,false)", masks.Convolution((1, 2, 1), 1, is_normalized=False)),
        (
            "curve([(0,0),(255,300)],[],[(1,2)],[(3,4),(5,6)])",
            masks.Curves(((0, 0), (255, 255)), (), ((1, 2),), ((3, 4), (5, 6))),
        ),
        ("sharpen(2,1.5,true)", masks.Sharp(2, 1.5, luminance_only=True)),
        ("fill(red)", canvas.Fill("red")),
        ("fill(ff0000,1)", canvas.Fill("ff0000", is_beneath=True)),
        ("fill(auto,false)", canvas.Fill("auto")),
        ("background_color(0f0)", canvas.BackgroundColor("0f0")),
        ("round_corner(20,255,255,255)", canvas.RoundCorner(canvas.Radii(20, 20), 255, 255, 255)),
        ("round_corner(20|30,1,2,3,True)", canvas.RoundCorner(canvas.Radii(20, 30), 1, 2, 3, is_transparent=True)),
        ("rotate(-90)", canvas.Turn(-90)),
        ("proportion(.5)", canvas.Proportion(0.5)),
        ("proportion(0.5)", canvas.Proportion(0.5)),
        ("upscale()", canvas.Upscale()),
        (
            "watermark(http://b.c/d%281%29.png,-10,20p,50)",
            watermark.Watermark(
                "http://b.c/d(1).png",
                watermark.Position(10, is_from_end=True),
                watermark.Position(20, is_per_cent=True),
                50,
            ),
        ),
        (
            "watermark('b,c.png',center,repeat,0,none,25)",
            watermark.Watermark(
                "b,c.png",
                watermark.Position(is_center=True),
                watermark.Position(is_repeated=True),
                0,
                height_ratio=25,
            ),
        ),
    ],
)
def test_a_filter(text: str, expected: Filter) -> None:
    assert drawn(text) == (expected,)


@pytest.mark.parametrize(
    "text",
    [
        "unknown(1,2)",
        "brightness()",
        "brightness(x)",
        "brightness(1.5)",
        "brightness(1,2)",
        "rgb(1,2)",
        "rgb(1,2,3,4)",
        "colorize(1,2,3,red)",
        "sharpen(2,1.5)",
        "blur(0)",
        "blur(-1)",
        "blur(1.5)",
        "noise(-4)",
        "convolution(1;2;1)",
        "convolution(1;2;;1,3)",
        "convolution(1;2;1,0)",
        f"convolution({';'.join(['1'] * 1000)},1)",
        "curve([(0,0),(255,255)],[],[])",
        "curve([(5,0),(5,255)],[],[],[])",
        "sharpen(2,1.5,maybe)",
        "fill(red,maybe)",
        "fill(#ff0000)",
        "round_corner(20,256,0,0)",
        "watermark(a.png,1)",
        "watermark(a.png,middle,1,0)",
        "Grayscale()",
    ],
)
def test_a_filter_that_does_not_match_is_ignored(text: str) -> None:
    assert drawn("rotate(90)", text, "rotate(180)") == (canvas.Turn(90), canvas.Turn(180))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("quality(40)", "quality(101)"), Parameters(quality=100)),
        (("format(jpg)",), Parameters(format="jpeg")),
        (("format(PNG)",), Parameters(format="png")),
        (("format(heif)",), Parameters(format="heic")),
        (("format(png)", "format(tiff)"), Parameters()),
        (("max_bytes(7)",), Parameters(max_bytes=100)),
        (("autojpg()",), Parameters(is_auto_jpg=True)),
        (("autojpg(False)",), Parameters(is_auto_jpg=False)),
        (("stretch()", "no_upscale()", "cover()"), Parameters(is_stretched=True, is_kept_small=True, is_cover=True)),
        (("focal(1x2:3x4)", "focal(5x6:5x8)"), Parameters(focals=(Edges(1, 2, 3, 4),))),
        (("strip_exif()", "strip_icc()", "red_eye()"), Parameters()),
    ],
)
def test_an_option(texts: Sequence[str], expected: Parameters) -> None:
    assert asked(f"filters:{':'.join(texts)}") == expected


def test_filters_are_parted_at_a_parenthesis_and_a_colon() -> None:
    assert drawn("rotate(90)", "", "rotate(180)") == drawn("rotate(90)", "brightness(1", "rotate(180)")
    assert drawn("rotate(90)", "", "rotate(180)") == (canvas.Turn(90),)


def test_max_age_is_no_part_of_the_picture() -> None:
    request = parsed("filters:max_age(60)/a.jpg")
    assert (request.parameters, request.answer.max_age_s) == (Parameters(), 60)


def test_order_of_options_does_not_matter_and_that_of_filters_does() -> None:
    assert asked("filters:quality(40):rotate(90):grayscale()") == asked("filters:rotate(90):grayscale():quality(40)")
    assert asked("filters:rotate(90):grayscale()") != asked("filters:grayscale():rotate(90)")


@pytest.mark.parametrize(
    ("source", "inner", "box"),
    [
        ("http://t.example/unsafe/1x2:3x4/300x200/b.c/d.jpg", "b.c/d.jpg", Edges(1, 2, 3, 4)),
        ("t.example/unsafe/1x2:3x4/b.c/d.jpg", "b.c/d.jpg", Edges(1, 2, 3, 4)),
        ("http://t.example/c2ln/meta/1x2:3x4/smart/filters:blur(1)/d.jpg", "d.jpg", Edges(1, 2, 3, 4)),
        ("http://t.example/unsafe/smart/u.example/unsafe/1x2:3x4/d.jpg", "d.jpg", Edges(1, 2, 3, 4)),
    ],
)
def test_extract_focal(source: str, inner: str, box: Edges) -> None:
    request = parsed(f"filters:extract_focal()/{source}")
    assert (request.source, request.parameters.focals) == (inner, (box,))


@pytest.mark.parametrize("levels", [10, 11])
def test_extract_focal_looks_into_ten_levels(levels: int) -> None:
    source = "t.example/unsafe/" * (levels - 1) + "t.example/unsafe/1x2:3x4/d.jpg"
    found = parsed(f"filters:extract_focal()/{source}")
    assert found.source == ("d.jpg" if levels == 10 else source)


@pytest.mark.parametrize("source", ["example.com/a.jpg", "a.jpg", "t.example/unsafe/a.jpg", "http://t.example/"])
def test_extract_focal_without_a_crop_changes_nothing(source: str) -> None:
    request = parsed(f"filters:extract_focal()/{source}")
    assert (request.source, request.parameters) == (source, Parameters())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/unsafe/a.jpg", ("unsafe", "a.jpg")),
        ("/unsafe/a", ("unsafe", "a")),
        ("unsafe/a.jpg", ("unsafe", "a.jpg")),
        ("//unsafe/a.jpg", ("/unsafe", "a.jpg")),
        ("/c2ln%3D/300x200/a.jpg", ("c2ln%3D", "300x200/a.jpg")),
        ("/unsafe/", None),
        ("/unsafe", None),
        ("/", None),
        ("", None),
    ],
)
def test_the_signature_is_the_first_segment(path: str, expected: tuple[str, str] | None) -> None:
    assert grammar.signed_part(path) == expected


def test_a_path_of_a_megabyte_is_read_at_once() -> None:
    for text in ("(" * 1_000_000, "filters:" + "a(1)):" * 170_000 + "/a", "'" * 1_000_000, "trim:" + "1" * 1_000_000):
        assert grammar.parse(f"{text}/a.jpg") is not None


@settings(steady, max_examples=sized(100, 2000))
@given(any_parameters, sources, st.none() | st.integers(0, 10**8))
def test_a_generated_url_is_read_as_it_was_meant(parameters: Parameters, source: str, age_s: int | None) -> None:
    request = Request(source, parameters, Answer("info" if parameters.is_meta else "picture", max_age_s=age_s))
    assert grammar.parse(grammar.generate(request)) == request


@settings(steady, max_examples=sized(100, 2000))
@given(st.text(st.sampled_from("()':,/x0%2F-afilters: "), max_size=60))
def test_what_is_read_can_be_generated(text: str) -> None:
    request = grammar.parse(f"filters:{text}/a.jpg")
    if request is not None:
        assert grammar.parse(grammar.generate(request)) == request


@settings(steady, max_examples=sized(100, 2000))
@given(st.sampled_from(sorted(filters.THUMBOR)), st.text(st.sampled_from("()':,x0.5p|-atrue "), max_size=30))
def test_no_arguments_make_a_filter_fail(name: str, arguments: str) -> None:
    filters.read(f"{name}({arguments})")
