"""Which fonts the text of an SVG asks for, and which of them are missing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import imgserve
from imgserve.blob import Blob
from imgserve.imaging.worker import pipeline
from imgserve.imaging.worker.svg import families, fontcheck, stylesheet
from imgserve.imaging.worker.svg.markup import find_root
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from imgserve.request.warning import MOST_DETAIL, MOST_WARNINGS
from tests.support.pictures import encoded, scene

MOST_CPU_S = 1.0
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:s="http://www.w3.org/2000/svg" width="40" height="20"%s>%s</svg>'


def asked(body: str, root: str = "") -> list[tuple[str, ...]]:
    found = find_root((SVG % (root, body)).encode())
    assert found is not None
    return list(families.asked(stylesheet.for_screen(found, None)))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<text font-family="One">a</text>', [("One",)]),
        ("<text font-family=\"A  B,'C', &quot;D &amp; E&quot;\">a</text>", [("A B", "C", "D & E")]),
        ('<s:text font-family="One">a</s:text>', [("One",)]),
        ('<text font-family="One"><tspan font-family="Two">a</tspan></text>', [("Two",)]),
        ('<text font-family="One">a<tspan font-family="Two">b</tspan>c</text>', [("One",), ("Two",)]),
        ('<g font-family="One"><g style="fill:red"><text>a</text></g></g>', [("One",)]),
        ('<g font-family="One"><text font-family="inherit">a</text></g>', [("One",)]),
        ('<text font-family="One" style="font-family:Two">a</text>', [("Two",)]),
        ('<text style="font-family:One;font-family : \'Two\' !important">a</text>', [("Two",)]),
        ("<text style=\"font: italic 700 12px/1.5 'One', Two\">a</text>", [("One", "Two")]),
        ('<text style="font:caption">a</text>', []),
        ('<text style="font-size:9px;-inkscape-font-specification:One">a</text>', []),
        ("<style>text{font-family:One}</style><text>a</text>", [("One",)]),
        ("<text>a</text><style>text{font-family:One}</style>", [("One",)]),
        ("<style>text{font-family:One}</style><text font-family='Two'>a</text>", [("One",)]),
        ("<style>.a{font-family:One} text{font-family:Two}</style><text class='b a'>a</text>", [("One",)]),
        ("<style>text{font-family:One} text{font-family:Two}</style><text>a</text>", [("Two",)]),
        ("<style>#x, .y{font:9pt One} .a{font-family:Two}</style><text id='x' class='a'>a</text>", [("One",)]),
        ("<style>g.k > text{font-family:One}</style><g class='k'><text>a</text></g><text>b</text>", [("One",)]),
        ("<style>.k .l text{font-family:One}</style><g class='l'><g class='k'><text>a</text></g></g>", []),
        ("<style>@media print{text{font:9px A}} @media screen{text{font:9px B}}</style><text>a</text>", [("B",)]),
        ("<style>@font-face{font-family:One;src:url(a)} text{fill:red}</style><text>a</text>", []),
        ("<style><![CDATA[/* } */ text{font-family:'One'}]]></style><text>a</text>", [("One",)]),
        ('<text font-family="One" class="serif">a</text>', [("One",)]),
        ("<text style=\"font-family:One\" class='serif'>a</text>", [("One",)]),
        ("<text font-family='A Serif'>a</text>", [("A Serif",)]),
        ('<text font-family="Serif Gothic">a</text><text font-family="One">b</text>', [("Serif Gothic",), ("One",)]),
        # No letter is drawn in these.
        ('<path style="font-family:One" d="M0 0"/><text>a</text>', []),
        ('<text font-family="One"> </text><text font-family="One"><title>a</title></text>', []),
        ('<title font-family="One">a</title>', []),
        # Any font is as good.
        ('<text font-family="One, serif">a</text><text font-family="One, System-UI">b</text>', []),
        ('<text font-family="initial">a</text><text font-family="var(--one)">b</text>', []),
        ('<text>a</text>', []),
        ('<text font-family="">a</text><text font-family=", ,">b</text>', []),
        # No name of a font.
        (f'<text font-family="{"x" * 101}">a</text><text font-family="{"a," * 11}">b</text>', []),
        ('<text font-family="a&#x200e;b">a</text>', []),
    ],
)  # fmt: skip
def test_the_lists_that_texts_ask_for(body: str, expected: list[tuple[str, ...]]) -> None:
    assert asked(body) == expected


def test_a_list_is_named_once_and_only_the_first_lists() -> None:
    many = "".join(f'<text font-family="F{number % 40}">a</text>' for number in range(200))
    assert asked(many) == [(f"F{number}",) for number in range(families.MOST_LISTS)]
    assert families.MOST_LISTS <= MOST_WARNINGS


def warned(body: str) -> list[str]:
    return [warning.detail for warning in fontcheck.warnings((SVG % ("", body)).encode(), None)]


def test_a_missing_font() -> None:
    advice = "so text of the SVG is drawn in another; install it, or name its directory in font_dirs"
    assert warned('<text font-family="Zzyx">a</text>') == [f'the font "Zzyx" is not installed, {advice}']
    names = "&quot;Zzyx's&quot;, 'Zz &lt; &amp;'"
    shown = '"Zzyx\'s", "Zz < &"'
    assert warned(f'<text font-family="{names}">a</text>') == [f"none of the fonts {shown} is installed, {advice}"]
    long = ",".join("Zzyx" + letter * 90 for letter in "abcde")
    assert [len(detail) <= MOST_DETAIL for detail in warned(f'<text font-family="{long}">a</text>')] == [True]


@pytest.mark.parametrize(
    "names",
    ["DejaVu Sans", "dejavu sans", "DejaVu Serif", "DejaVu Sans Mono", "Zzyx, DejaVu Sans", "DejaVu Serif, Zzyx"],
)
def test_a_font_that_is_installed(names: str) -> None:
    if not Path("/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf").exists():
        pytest.skip("the fonts of fonts-dejavu-core are needed")
    assert warned(f'<text font-family="{names}">a</text>') == []
    assert len(warned(f'<text font-family="{names.replace("eja", "zzy")}">a</text>')) == 1


def test_in_any_encoding() -> None:
    body = SVG % ("", '<text font-family="Zzyx">a</text>')
    for data in (body.encode("utf-16"), b"\xef\xbb\xbf" + body.encode()):
        assert len(fontcheck.warnings(data, None)) == 1


@pytest.mark.parametrize(
    "body",
    [
        '<text font-family="Zzyx">a' + "<tspan>a</tspan>" * 40_000 + "</text>",
        "<style>" + "".join(f".a{n} .b .c{{font-family:F{n}}}" for n in range(3000)) + "</style>"
        + '<g class="b">' * 90 + '<text class="c">a</text>' * 5000 + "</g>" * 90,
        "".join(f'<text font-family="F{n}">{chr(0x4E00 + n)}</text>' for n in range(9000)),
        "<style>" + "text" * 60_000 + "</style><text>a</text>",
        '<text style="' + "font:" * 50_000 + '">a</text>',
        '<text style="' + "font: 1px/" * 50_000 + '">a</text>',
        "<g>" * 2000 + '<text font-family="Zzyx">a</text>' + "</g>" * 2000,
    ],
    ids=["texts", "rules", "lists", "selector", "declarations", "shorthands", "depth"],
)  # fmt: skip
def test_the_work_is_bounded(body: str) -> None:
    warned('<text font-family="Zzyx">a</text>')
    before = time.process_time()
    warned(body)
    assert time.process_time() - before < MOST_CPU_S


def test_the_source_and_a_watermark_name_a_font_once() -> None:
    text = '<text font-family="Zzyx">a</text>'
    drawing, mark = (SVG % ("", each) for each in (text, text + '<text font-family="Zzyy">a</text>'))
    for source, expected in ((drawing.encode(), 2), (encoded(scene(40, 20), "png"), 2)):
        recipe = Recipe((Composite(ImageRef(name="mark")),), Encode("png"))
        with Blob() as result:
            task = Rendering(recipe, Size(40, 20), "png")
            written = pipeline.render(source, task, Limits(), result.fd, further_data=[mark.encode()])
        assert len(written.warnings) == expected


ALONE = """
import sys
from imgserve.imaging.worker import vips
from imgserve.imaging.worker.svg import fontcheck
vips.configure()
for family in ("Noto Sans", "Zzyx"):
    text = f'<svg xmlns="http://www.w3.org/2000/svg"><text font-family="{family}">a</text></svg>'
    print(len(fontcheck.warnings(text.encode(), None)))
"""


@pytest.mark.parametrize(("fonts", "expected"), [((), "1\n1\n"), (("NotoSans-Regular.ttf",), "0\n0\n")])
def test_a_machine_without_fonts_and_one_with_a_single_font(
    tmp_path: Path, fonts: tuple[str, ...], expected: str
) -> None:
    """With one, nothing can be told, so nothing is said."""
    for name in fonts:
        (tmp_path / name).write_bytes((Path(imgserve.__file__ or "").parent / "fonts" / name).read_bytes())
    configuration = tmp_path / "fonts.conf"
    configuration.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f"<dir>{tmp_path}</dir><cachedir>{tmp_path}/cache</cachedir></fontconfig>"
    )
    environment = {**os.environ, "FONTCONFIG_FILE": str(configuration)}
    run = subprocess.run([sys.executable, "-c", ALONE], env=environment, capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.returncode) == (expected, 0), run.stderr
