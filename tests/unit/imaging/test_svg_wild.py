"""SVGs as programs write them: a red sheet of 40 x 20 must lie where arithmetic puts it, whatever stands around it."""

import base64
import gzip

import numpy as np
import pytest
from PIL import Image

from imgserve.imaging.faults import PictureTooLarge, SourceUnreadable, SvgInvalid
from imgserve.imaging.worker.probe import probe
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from tests.support import pictures
from tests.unit.imaging.conftest import Render

SHEET = '<rect width="40" height="20" fill="#ff0000"/>'
VIEW = 'viewBox="0 0 40 20"'
PLAIN = pictures.svg(SHEET, VIEW)

INKSCAPE = b"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<!-- Created with Inkscape (http://www.inkscape.org/) -->
<svg
   width="40mm"
   height="20mm"
   viewBox="0 0 40 20"
   version="1.1"
   inkscape:version="1.2 (dc2aedaf03, 2022-05-15)"
   sodipodi:docname="a &lt;b&gt; &quot;c&quot; > d.svg"
   xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape"
   xmlns:sodipodi="http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd"
   xmlns="http://www.w3.org/2000/svg"
   xmlns:svg="http://www.w3.org/2000/svg">
  <sodipodi:namedview id="namedview7" pagecolor="#ffffff" inkscape:document-units="mm"/>
  <g inkscape:label="Layer 1" inkscape:groupmode="layer" transform="translate(-10,-5)">
    <path style="fill:#ff0000;stroke:none" d="m 10,5 h 40 v 20 h -40 z"/>
  </g>
</svg>"""
ILLUSTRATOR = b"""<?xml version="1.0" encoding="utf-8"?>
<!-- Generator: Adobe Illustrator 24.0.1, SVG Export Plug-In . SVG Version: 6.00 Build 0)  -->
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" [
\t<!ENTITY ns_extend "http://ns.adobe.com/Extensibility/1.0/">
\t<!ENTITY ns_ai "http://ns.adobe.com/AdobeIllustrator/10.0/">
\t<!ENTITY ns_svg "http://www.w3.org/2000/svg">
]>
<svg version="1.1" id="Layer_1" xmlns:x="&ns_extend;" xmlns:i="&ns_ai;" xmlns="&ns_svg;" x="0px" y="0px"
\t width="40px" height="20px" viewBox="0 0 40 20" style="enable-background:new 0 0 40 20;" xml:space="preserve">
<switch><foreignObject requiredExtensions="&ns_ai;" x="0" y="0" width="1" height="1"></foreignObject>
<g i:extraneous="self"><style type="text/css">.st0{fill:#FF0000;}</style><rect class="st0" width="40" height="20"/></g>
</switch></svg>"""

WRITTEN = {
    "inkscape": INKSCAPE,
    "illustrator": ILLUSTRATOR,
    "latin-1": b'<?xml version="1.0" encoding="ISO-8859-1"?>' + PLAIN.replace(b"<rect", b"<desc>\xe4</desc><rect"),
    "entity in the drawing": b'<!DOCTYPE svg [<!ENTITY red "#ff0000">]>' + PLAIN.replace(b"#ff0000", b"&red;"),
    "style sheet": pictures.svg("<style><![CDATA[rect{fill:#f00}]]></style>" + SHEET.replace("#ff0000", ""), VIEW),
    "symbols": pictures.svg(f'<defs><g id="a">{SHEET}</g></defs><use href="#a"/>', VIEW),
    "no namespace": PLAIN.replace(b' xmlns="http://www.w3.org/2000/svg"', b""),
    "line ends in tags": PLAIN.replace(b' viewBox="0 0 40 20"', b'\r\n\tviewBox\r\n=\r\n"0,0\n40 20"\r\n'),
    "space and remarks in front": b"\n\n  <!-- <svg> " + b"x" * 3000 + b" -->" + PLAIN,
    "style sheet elsewhere": b'<?xml version="1.0"?><?xml-stylesheet href="a.css"?>' + PLAIN,
    "what is elsewhere": PLAIN.replace(b"</svg>", b'<image width="9" height="9" href="http://h/a.png"/></svg>'),
    "a script": PLAIN.replace(b"</svg>", b"<script>document.documentElement.remove()</script></svg>"),
}

SIZES = [
    ('width="100%" height="100%" ' + VIEW, (40, 20)),
    ('width="100%" height="100%"', (40, 20)),
    ('width="50%" height="100%" ' + VIEW, (40, 20)),
    ('width="80" ' + VIEW, (80, 40)),
    ('height="80" ' + VIEW, (160, 80)),
    ('width="auto" height="auto" ' + VIEW, (40, 20)),
    ('style="width:100%;height:auto" ' + VIEW, (40, 20)),
    ("", (40, 20)),
    ('width="4em" height="2em" ' + VIEW, (48, 24)),  # librsvg's letters are 12 high
    ('width="4ex" height="2ex" ' + VIEW, (24, 12)),
    ('width="40pt" height="20pt" ' + VIEW, (40, 20)),  # at 72 dots per inch
    ('width="1in" height="12.7mm" ' + VIEW, (72, 36)),
    ('width="2.54cm" height="3pc" ' + VIEW, (72, 36)),
    ('width="80" height="40" viewBox="0 0 40 20"', (80, 40)),
]


def sheet(image: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is red; nothing else may be there."""
    pixels = np.asarray(image.convert("RGBA")).astype(int)
    red = np.abs(pixels - (255, 0, 0, 255)).max(axis=2) <= 2
    assert ((pixels[:, :, 3] == 0) | red).all()
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("data", WRITTEN.values(), ids=WRITTEN)
def test_what_programs_put_around_a_drawing(render: Render, data: bytes) -> None:
    assert sheet(render(data, Rasterize(), (200, 200))) == (0, 50, 200, 150)
    assert sheet(render(data, Rasterize(fit="fill"), (200, 200))) == (0, 0, 200, 200)
    assert sheet(render(data, Resize(), (200, 100))) == (0, 0, 200, 100)


@pytest.mark.parametrize(("attributes", "natural"), SIZES)
def test_sizes_in_every_unit_or_none(render: Render, attributes: str, natural: tuple[float, float]) -> None:
    data = pictures.svg(SHEET, attributes)
    info = probe(data, Limits(), is_complete=True)
    assert info is not None
    assert (info.width_px, info.height_px) == pytest.approx(natural, abs=0.01)
    assert sheet(render(data, Rasterize(), (200, 200))) == (0, 50, 200, 150)
    assert sheet(render(data, Resize(), (200, 100))) == (0, 0, 200, 100)


@pytest.mark.parametrize("name", ["png", "jpeg", "svg"])
@pytest.mark.parametrize("attribute", ["href", "xlink:href"])
def test_pictures_inside_a_drawing(render: Render, name: str, attribute: str) -> None:
    inner = PLAIN if name == "svg" else pictures.encoded(Image.new("RGB", (8, 4), (255, 0, 0)), name)
    kind = {"svg": "svg+xml"}.get(name, name)
    uri = f"data:image/{kind};base64,{base64.b64encode(inner).decode()}"
    body = f'<image width="40" height="20" preserveAspectRatio="none" {attribute}="{uri}"/>'
    data = pictures.svg(body, VIEW + ' xmlns:xlink="http://www.w3.org/1999/xlink"')
    assert sheet(render(data, Rasterize(), (200, 200))) == (0, 50, 200, 150)


PACKED = {
    "plain": gzip.compress(PLAIN, mtime=0),
    "two members": gzip.compress(PLAIN[:50], mtime=0) + gzip.compress(PLAIN[50:], mtime=0),
    "zeros behind": gzip.compress(PLAIN, mtime=0) + bytes(512),
    "utf-16": gzip.compress(b"\xff\xfe" + PLAIN.decode().encode("utf-16-le"), mtime=0),
}


@pytest.mark.parametrize("data", PACKED.values(), ids=PACKED)
def test_a_compressed_svg_is_drawn(render: Render, data: bytes) -> None:
    info = probe(data, Limits(), is_complete=True)
    assert info is not None
    assert info.is_svg
    assert sheet(render(data, Rasterize(), (200, 200))) == (0, 50, 200, 150)
    assert sheet(render(data, Resize(), (200, 100))) == (0, 0, 200, 100)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (gzip.compress(pictures.encoded(pictures.scene(40, 20), "png"), mtime=0), "no SVG"),
        (gzip.compress(b"hello", mtime=0), "not a picture"),
        (gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0), "more than once"),
        (gzip.compress(PLAIN, mtime=0)[:-20], "cut off"),
        (b"\x1f\x8b\x08" + bytes(90), "cannot be unpacked"),
        (gzip.compress(b"", mtime=0) * 100, "empty"),
    ],
)
def test_what_is_compressed_and_no_svg_is_named(render: Render, data: bytes, what: str) -> None:
    with pytest.raises(SourceUnreadable, match=what):
        probe(data, Limits(), is_complete=True)
    with pytest.raises(SvgInvalid):
        render(data, Rasterize(), (20, 10))


def test_a_compressed_svg_is_unpacked_up_to_the_limit() -> None:
    limits = Limits(svg_bytes=len(PLAIN) + 10_000)
    for spare, is_refused in ((9_000, False), (11_000, True)):
        data = gzip.compress(PLAIN.replace(b"</svg>", b" " * spare + b"</svg>"), mtime=0)
        assert probe(data, limits, is_complete=False) is None
        if is_refused:
            with pytest.raises(PictureTooLarge, match="svg_bytes"):
                probe(data, limits, is_complete=True)
        else:
            assert probe(data, limits, is_complete=True) is not None
    with pytest.raises(PictureTooLarge, match="svg_bytes"):
        probe(b"\x1f\x8b\x08" + bytes(limits.svg_bytes), limits, is_complete=False)


@pytest.mark.parametrize("attribute", [b"inkscape:label", b"xlink:href"])
def test_a_prefix_that_is_never_declared_is_no_xml(render: Render, attribute: bytes) -> None:
    """Browsers refuse it too."""
    with pytest.raises(SvgInvalid):
        render(PLAIN.replace(b"<rect ", b"<rect " + attribute + b'="x" '), Rasterize(), (20, 10))
