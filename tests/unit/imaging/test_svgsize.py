"""The size that an SVG's root tells without its drawing, against librsvg with the whole document."""

import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.imaging.faults import SvgInvalid
from imgserve.imaging.worker.svg import markup, sizing
from tests.support import pictures

SHEET = '<rect width="40" height="20" fill="#ff0000"/>'
UNITS = ["", "px", "pt", "pc", "in", "cm", "mm", "em", "ex", "%", "rem", "PX", " ", "junk"]
LENGTHS = st.one_of(
    st.builds(
        lambda number, unit: f"{number}{unit}",
        st.sampled_from(["0", "0.3", "1", "7", "33.333", "4e1", "+20", "-5", "1e3", ".5", "5.", "100", ""]),
        st.sampled_from(UNITS),
    ),
    st.sampled_from(["auto", "inherit", "&#52;0", "calc(1px)"]),
)
VIEWS = st.sampled_from(["0 0 40 20", "-3,4 7.5,3", "0 0 0 9", "0 0 -1 9", "0 0 9", "junk", " 0\t0 1e2 50 "])
STYLES = st.sampled_from([
    "color:red", "width:30px", "height:2em;font-size:30px", "width:50%", "WIDTH:9PX", "w\\69 dth:44px",
    "width:9px!important",
])  # fmt: skip
SHEETS = st.sampled_from([
    "", "<style>rect{stroke-width:4}</style>", "<style>svg{width:77px}</style>",
    "<style><![CDATA[ svg{height:33px;color:red} ]]></style>", "<!-- <style>svg{width:5px}</style> -->",
    "<style>.a{width:12px} #b{height:13px}</style>", "<defs><style type='text/css'>*{font-size:20px}</style></defs>",
    "<style>svg{w\\69 dth:44px}</style>", "<style/>", "<style>svg:root{HEIGHT:8px}</style>", "<desc>width: 9px</desc>",
])  # fmt: skip
PROLOGUES = st.sampled_from([
    "", '<?xml version="1.0"?>', "<!-- <svg width='3'> -->", "<!DOCTYPE svg>",
    '<!DOCTYPE svg [<!ENTITY a "40">]>', '<!DOCTYPE svg [<!ATTLIST svg width CDATA "11" height CDATA "12">]>',
])  # fmt: skip
ROOTS = st.fixed_dictionaries(
    {},
    optional={
        "width": LENGTHS, "height": LENGTHS, "viewBox": VIEWS, "style": STYLES,
        "class": st.just("a"), "id": st.just("b"),
        "font-size": LENGTHS, "preserveAspectRatio": st.sampled_from(["none", "xMinYMin slice", "junk"]),
    },
)  # fmt: skip


def by_librsvg(data: bytes) -> tuple[float, float] | None:
    """Of the whole document, to a hundredth; None where it refuses."""
    try:
        image = pyvips.Image.svgload_buffer(data, scale=100)
    except pyvips.Error:
        return None
    return image.width / 100, image.height / 100


@settings(max_examples=400)
@given(PROLOGUES, ROOTS, SHEETS)
def test_the_root_alone_tells_what_the_whole_document_does(prologue: str, root: dict[str, str], sheet: str) -> None:
    attributes = " ".join(f'{name}="{value}"' for name, value in root.items())
    data = prologue.encode() + pictures.svg(sheet + SHEET, attributes)
    expected = by_librsvg(data)
    try:
        told = sizing.natural_size(data)
    except SvgInvalid:
        told = None
    if expected is None or told is None:
        assert expected == told
    elif min(expected) > 0.02:  # below a pixel libvips rounds as it likes
        assert told == pytest.approx(expected, abs=0.011)


@pytest.mark.parametrize("root", ["svg", "s:svg"])
def test_nothing_of_the_drawing_is_read(root: str) -> None:
    """Else librsvg would refuse this one: an element that stands where none may."""
    space = "xmlns" + (":s" if root != "svg" else "")
    deep = "<g>" * 3000 + "</g>" * 3000
    data = f'<{root} {space}="http://www.w3.org/2000/svg" width="7" height="9">{deep}</{root}>'.encode()
    assert by_librsvg(data) is None
    assert sizing.natural_size(data) == (7, 9)


@pytest.mark.parametrize(
    "broken",
    [
        "<g>",
        "</g>",
        "<rect",
        "<rect a='1' a='2'/>",
        "<![CDATA[",
        "<!-- ",
        "<x:rect/>",
        "</svg><svg>",
        "&what;",
        "a & b",
        "<g a=1/>",
        "<a:b:c/>",
        "]]>",
    ],
)
def test_what_is_no_xml_is_refused_by_both(broken: str) -> None:
    data = pictures.svg(SHEET + broken)
    assert by_librsvg(data) is None
    with pytest.raises(SvgInvalid):
        sizing.natural_size(data)


@pytest.mark.parametrize("odd", ["<g\u203f/>", "<\u20ac/>", "<\U00010000/>", "<g xml:id='1'/>"])
def test_what_librsvg_takes_expat_does_not_forbid(odd: str) -> None:
    data = pictures.svg(SHEET + odd)
    assert by_librsvg(data) == sizing.natural_size(data) == (40, 20)


@pytest.mark.parametrize("count", [200_000])
def test_hostile_style_sheets_are_read_in_linear_time(count: int) -> None:
    for part in (b"<style ", b"<style>", b"<!--", b"<![CDATA[", b"</style>", b"<a:style ", b"<style/>"):
        data = b'<?xml version="1.0" encoding="what"?>' + pictures.svg("") + part * count
        root = markup.find_root(data)
        assert root is not None
        assert len(sizing._sizing_sheets(root)) < 300_000
