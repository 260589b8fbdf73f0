"""What browsers paint and librsvg alone does not: the root's background, and rules for a screen."""

import time

import pytest

from imgserve.imaging.worker import svgmarkup, svgstyle
from imgserve.imaging.worker.probe import probe
from imgserve.spec.facts import Size
from imgserve.spec.limits import Limits
from imgserve.spec.operations import Rasterize, Resize
from tests.unit.imaging.conftest import Render

RED, NONE, BLACK = (255, 0, 0, 255), (0, 0, 0, 0), (0, 0, 0, 255)
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
    ],
)
def test_the_roots_own_background(render: Render, style: str, expected: tuple[int, ...]) -> None:
    for operation in (Resize(), Rasterize()):
        image = render(drawing(style), operation, (80, 40))
        assert image.convert("RGBA").getpixel((60, 20)) == expected
        if "fill" not in style:
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
    ],
)
def test_rules_for_media(render: Render, sheet: str, expected: tuple[int, ...]) -> None:
    assert render(drawing("", sheet), Resize(), (40, 20)).convert("RGBA").getpixel((10, 10)) == expected


def test_the_media_of_a_whole_style_sheet(render: Render) -> None:
    for media, expected in (("print", BLACK), ("screen", RED), ("all", RED), ("print, screen", RED)):
        data = drawing("", ".a{fill:red}", on_sheet=f' media="{media}"')
        assert render(data, Resize(), (40, 20)).convert("RGBA").getpixel((10, 10)) == expected


def test_a_size_for_the_screen() -> None:
    facts = probe(drawing("", "@media screen{svg{width:70px;height:30px}}", root=""), Limits(), is_complete=True)
    assert facts is not None
    assert (facts.width_px, facts.height_px) == (70, 30)


@pytest.mark.parametrize(
    "part",
    ["@media ", "@media{", "@media screen and (", "( ) ", "/*", "'", "{", "}", ";background:(", ";background:", "svg,",
     ",svg", "a", " ", "svg{background:red}", "#a#a", "<style>", "<style "],
)  # fmt: skip
def test_hostile_style_is_read_in_linear_time(part: str) -> None:
    text = part * (2_000_000 // len(part))
    for data in (drawing("", text), drawing(text.replace("'", "")), drawing("", f"@media {text}{{}}")):
        root = svgmarkup.find_root(data)
        if root is not None:
            started = time.process_time()
            svgstyle.background(svgstyle.for_screen(root, Size(40, 20)))
            assert time.process_time() - started < MOST_CPU_S
