"""What browsers paint and librsvg alone does not: the root's background, and rules for a screen."""

import contextlib
import time

import pytest

from imgserve.imaging.faults import SvgInvalid
from imgserve.imaging.worker.probe import probe
from imgserve.imaging.worker.svg import background, markup, stylesheet
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from tests.support.sizes import sized
from tests.unit.imaging.conftest import Render

RED, NONE, BLACK, BLUE = (255, 0, 0, 255), (0, 0, 0, 0), (0, 0, 0, 255), (0, 0, 255, 255)
MOST_CPU_S = 0.3


def drawing(style: str = "", sheet: str = "", *, on_sheet: str = "", root: str = 'viewBox="0 0 40 20"') -> bytes:
    """A square on the left half of 40 x 20; the right half shows the background."""
    attributes = f"style='{style}'" if style else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {root} id="it" class="big wide" {attributes}>'
        f'<style{on_sheet}>{sheet}</style><rect class="a" width="20" height="20"/></svg>'
    ).encode()


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("background-color: rgb(255, 0, 0);", RED),
        ("background:red", RED),
        ("BACKGROUND : #F00 !important", RED),
        ("background:blue;color:blue;background:#f00", RED),
        ('background: url("a.png") no-repeat hsl(0, 100%, 50%)', RED),
        ("background:#ff000080", (255, 0, 0, 128)),
        ("background-color:rgba(255,0,0,.2)", (255, 0, 0, 51)),
        ("background:red;background:color-mix(in srgb, red, blue)", RED),
        ("background:red;background:var(--page)", RED),
        ("/* page */background:/* red */#f00", RED),
        ("background:red !important;background:blue", RED),
        ("color:red;background:currentColor", RED),
        ("background:red;background:none", NONE),
        ("background:transparent", NONE),
        ("background:none", NONE),
        ("background:linear-gradient(red, red)", NONE),
        ("background-image:url(red)", NONE),
        ("fill:red", NONE),
        ("background:nonsense", NONE),
        ("background&#58;red", RED),
        ("back&#x67;round:&#114;ed", RED),
        (r"b\61 ckground:r\65 d", RED),
        ("background:url(&quot;a;b&quot;) red", RED),
        ("background:red /* it;s */", RED),
        ("background:url(a.png), url(b.png) 0 0 / 5px red", RED),
        ("background:red blue", NONE),
        ("fill:red;background:none", NONE),
        ("opacity:.5;background:red", RED),
    ],
)
def test_the_roots_own_background(render: Render, style: str, expected: tuple[int, ...]) -> None:
    for operation in (Resize(), Rasterize()):
        image = render(drawing(style), operation, (80, 40))
        assert image.convert("RGBA").getpixel((60, 20)) == expected
        if "fill" not in style and "opacity" not in style:
            assert image.convert("RGBA").getpixel((20, 20)) == BLACK


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [
        ("svg{background:red}", RED),
        (":root { background : red }", RED),
        ("#it{background:red} svg.big{background:blue}", RED),
        ("svg{background:blue} svg{background:red}", RED),
        (".wide, .other{background:red}", RED),
        ("*{background:red}", RED),
        ("<![CDATA[ svg{background:red} ]]>", RED),
        ("@import url(a); svg{background:red}", RED),
        ("svg{background:red !important} #it{background:blue}", RED),
        ("svg{background:red} svg{background:oklch(0.5 0.1 20)}", RED),
        ("svg{BACKGROUND:red}", RED),
        ("@media screen{svg{background:red}}", RED),
        ("@media print{svg{background:red}}", NONE),
        ("svg[id]{background:red}", RED),
        ('[class~="big"]{background:red}', RED),
        ("svg[data-x]{background:red}", NONE),
        ("svg:is(rect,.big){background:red}", RED),
        (":is(#it){background:red} svg.big{background:blue}", RED),
        (":is(rect,:is(svg,a)){background:red}", RED),
        (":is(rect,text){background:red}", NONE),
        ("svg:not(.x){background:red}", RED),
        ("svg:not(.big){background:red}", NONE),
        (r"\73vg{background:red}", RED),
        (r"#\69t{b\61ckground:r\65 d}", RED),
        ("#it{background&#58;red}", RED),
        ("@namespace url(http://www.w3.org/2000/svg);*|svg{background:red}", RED),
        ("svg > svg{background:red} svg svg{background:red} * svg{background:red}", NONE),
        ("svg:first-child{background:red}", RED),
        ("svg:hover,svg::before{background:red}", NONE),
        ("SVG{background:red}", NONE),
        ("svg,rect>{background:red}", NONE),
        ('svg{background:url("}") red}', RED),
        ('a{content:"svg{background:red}"}', NONE),
        ('a{content:"/*"} svg{background:red} a{content:"*/"}', RED),
        ("svg{background:red;background:blue !important;background:red}", BLUE),
        ("svg{background:blue}*{fill:red !important;display:none !important}", BLUE),
        ("svg{fill:red;color:blue;background:currentColor}rect{color:red}", BLUE),
        ("svg{--background:red;x-background:red;background-image:none}", NONE),
        ("@keyframes a{svg{background:red}}", NONE),
        ("<![CDATA[svg{background:blue]]>", BLUE),
        ("svg rect{background:red} rect{background:red} .other{background:red}", NONE),
        ("/* svg{background:red} */", NONE),
    ],
)
def test_a_background_from_a_style_sheet(render: Render, sheet: str, expected: tuple[int, ...]) -> None:
    assert render(drawing("", sheet), Resize(), (40, 20)).convert("RGBA").getpixel((30, 10)) == expected


def test_an_important_rule_is_stronger_than_the_attribute(render: Render) -> None:
    image = render(drawing("background:blue", "svg{background:red!important}"), Resize(), (40, 20)).convert("RGBA")
    assert image.getpixel((30, 10)) == RED


def test_the_inline_background_is_stronger_and_covers_the_whole_canvas(render: Render) -> None:
    image = render(drawing("background:red", "svg{background:blue}"), Rasterize(), (80, 80)).convert("RGBA")
    assert image.getpixel((0, 0)) == image.getpixel((79, 79)) == image.getpixel((60, 40)) == RED
    assert render(drawing("background:red"), Resize(), (40, 20), "jpeg").getpixel((38, 1)) == pytest.approx(
        (255, 0, 0), abs=6
    )


def test_what_is_half_there_lies_over_the_background(render: Render) -> None:
    data = drawing("background:#c86432", ".a{fill:#fff;opacity:.5}")
    expected = tuple(round(part + (255 - part) * 128 / 255) for part in (200, 100, 50))
    got = render(data, Resize(), (40, 20)).convert("RGBA").getpixel((10, 10))
    assert got == pytest.approx((*expected, 255), abs=1)


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [
        ("@media screen{.a{fill:red}}", RED),
        ("@media print{.a{fill:red}}", BLACK),
        (".a{fill:blue} @media screen {.a{fill:red}}", RED),
        ("@media screen{.a{fill:blue}} .a{fill:red}", RED),
        ("@media all { .a{fill:red} }", RED),
        ("@media print, screen{.a{fill:red}}", RED),
        ("@media not print{.a{fill:red}}", RED),
        ("@media not screen{.a{fill:red}}", BLACK),
        ("@MEDIA Only Screen And (Min-Width: 30px){.a{fill:red}}", RED),
        ("@media (min-width:41px){.a{fill:red}}", BLACK),
        ("@media (max-width:3em) and (orientation:landscape){.a{fill:red}}", RED),
        ("@media (prefers-color-scheme: dark){.a{fill:red}}", BLACK),
        ("@media (prefers-color-scheme: light){.a{fill:red}}", RED),
        ("@media screen{@media (min-height:1px){.a{fill:red}}} .b{fill:blue}", RED),
        ('@media screen{.b{font-family:"}"} /* } */ .a{fill:red}} @media print{.a{fill:blue}}', RED),
        ("@media (min-device-pixel-ratio:9){.a{fill:red}}", BLACK),
        ("@media (min-width:1px) or (min-width:9999px){.a{fill:red}}", RED),
        ("@media (min-width:41px) or (max-height:19px){.a{fill:red}}", BLACK),
        ("@media not (min-width:9999px){.a{fill:red}}", RED),
        ("@media not (min-width:1px){.a{fill:red}}", BLACK),
        ("@media not (bogus){.a{fill:red}}", BLACK),
        ("@media (bogus), (min-width:1px){.a{fill:red}}", RED),
        ("@media (bogus:a,b), print{.a{fill:red}}", BLACK),
        ("@media (bogus) or (min-width:1px){.a{fill:red}}", RED),
        ("@media not all and (min-width:9999px){.a{fill:red}}", RED),
        ("@media ((min-width:1px) and (not (min-width:41px))) or print{.a{fill:red}}", BLACK),
        ("@media ((min-width:1px) and (not (min-width:41px))){.a{fill:red}}", RED),
        ("@media (min-width:1px) and (min-width:2px) or (min-width:3px){.a{fill:red}}", BLACK),
        ("@media screen and (min-width:1px) or (min-width:3px){.a{fill:red}}", BLACK),
        ("@media screen and (not (min-width:41px)){.a{fill:red}}", RED),
        ("@media (width &gt; 10px){.a{fill:red}}", RED),
        ("@media (10px &lt;= width &lt; 40px){.a{fill:red}}", BLACK),
        ("<![CDATA[@media (10px <= width <= 40px){.a{fill:red}}]]>", RED),
        ("@media (40px = width){.a{fill:red}}", RED),
        ("@media (width:40px) and (height:20px){.a{fill:red}}", RED),
        ("@media (width) and (hover) and (color) and (orientation){.a{fill:red}}", RED),
        ("@media (prefers-reduced-motion){.a{fill:red}}", BLACK),
        ("@media (aspect-ratio:2/1) and (min-aspect-ratio:3/2){.a{fill:red}}", RED),
        ("@media (max-width:1in) and (min-width:10mm){.a{fill:red}}", RED),
        ("@media (-webkit-min-device-pixel-ratio:2),(min-resolution:192dpi){.a{fill:red}}", BLACK),
        ("@media (resolution:1dppx){.a{fill:red}}", RED),
        ("@media/**/screen/* and print */{.a{fill:red}}", RED),
        ("@media{.a{fill:red}}", RED),
        ("@media screen print{.a{fill:red}}", BLACK),
        ("@media and (min-width:1px){.a{fill:red}}", BLACK),
        ("@media (min-width:1px{.a{fill:red}}", BLACK),
        (".b:not(.a){fill:red} .a:is(rect){fill:red}", RED),
    ],
)
def test_rules_for_media(render: Render, sheet: str, expected: tuple[int, ...]) -> None:
    assert render(drawing("", sheet), Resize(), (40, 20)).convert("RGBA").getpixel((10, 10)) == expected


def test_the_media_of_a_whole_style_sheet(render: Render) -> None:
    for media, expected in (("print", BLACK), ("screen", RED), ("all", RED), ("print, screen", RED)):
        data = drawing("", ".a{fill:red}", on_sheet=f' media="{media}"')
        assert render(data, Resize(), (40, 20)).convert("RGBA").getpixel((10, 10)) == expected


@pytest.mark.parametrize(
    ("kind", "is_css"),
    [("text/css", True), ("", True), ("TEXT/CSS", True), ("text/css; charset=utf-8", True), ("text/less", False),
     ("text/javascript", False), ("text", False)],
)  # fmt: skip
def test_what_is_no_css_is_ignored(render: Render, kind: str, is_css: bool) -> None:
    data = drawing("", "svg{background:red}.a{fill:blue}", on_sheet=f' id="s" type="{kind}"')
    image = render(data, Resize(), (40, 20)).convert("RGBA")
    expected = (RED, BLUE) if is_css else (NONE, BLACK)
    assert (image.getpixel((30, 10)), image.getpixel((10, 10))) == expected


def test_a_root_with_a_prefix_and_attributes_of_its_own(render: Render) -> None:
    data = (
        b'<!DOCTYPE s:svg [<!ENTITY c "it">]><s:svg xmlns:s="http://www.w3.org/2000/svg" id="&c;" fill="blue" '
        b'width="4cm" height="2cm" preserveAspectRatio="none" transform="rotate(9)" mask="url(#no)">'
        b"<s:style>#it{background:red}</s:style></s:svg>"
    )
    assert render(data, Resize(), (40, 20)).convert("RGBA").getpixel((30, 10)) == RED


@pytest.mark.parametrize("part", [":not(", ":is(", ":not(a", "(", ":lang(x):not("])
def test_a_style_sheet_that_would_overflow_librsvgs_stack(part: str) -> None:
    with pytest.raises(SvgInvalid, match="parentheses within each other"):
        probe(drawing("", part * 50_000), Limits(), is_complete=True)
    assert probe(drawing("", "".join(f"{part}a)" for _ in range(9_000)) + "{}"), Limits(), is_complete=True)


def test_a_size_for_the_screen() -> None:
    info = probe(drawing("", "@media screen{svg{width:70px;height:30px}}", root=""), Limits(), is_complete=True)
    assert info is not None
    assert (info.width_px, info.height_px) == (70, 30)


@pytest.mark.parametrize("length", [240_000, sized(300_000, 2_000_000)])  # within what is read of style, and beyond
@pytest.mark.parametrize(
    "part",
    ["@media ", "@media{", "@media screen and (", "( ) ", "/*", "'", "{", "}", ";background:(", ";background:", "svg,",
     ",svg", "a", " ", "background:", "background:(\"", "background:('a", "background:(a(b", "background:/*",
     "background:a ", "b\\61 ", ":is(a", ":is((", ":not(:is(", "@media (", "@media not(", "<![CDATA[", "]]>", "&#58;",
     "&", "fill", "svg{background:red}", "#a#a", "<style>", "<style ", "<style>@media(", "<style>:is(</style>"],
)  # fmt: skip
def test_hostile_style_is_read_in_linear_time(part: str, length: int) -> None:
    text = part * (length // len(part))
    for data in (drawing("", text), drawing(text.replace("'", "")), drawing("", f"@media {text}{{}}")):
        root = markup.find_root(data)
        if root is not None:
            started = time.process_time()
            with contextlib.suppress(SvgInvalid):
                background.background(stylesheet.for_screen(root, Size(40, 20)))
            assert time.process_time() - started < MOST_CPU_S
