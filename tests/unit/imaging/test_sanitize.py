"""SVGs made safe for browsers: nothing that runs, loads or leads elsewhere is left, and drawings look as before."""

import gzip
import re
import sys
from base64 import b64encode
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips
from PIL import Image

from imgserve.imaging.faults import PictureTooLarge, SourceUnreadable, SvgInvalid
from imgserve.imaging.worker.svg import references, sanitize
from imgserve.request.limits import Limits
from tests.support.pictures import encoded, svg

SVG = "{http://www.w3.org/2000/svg}"
LINKS = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:xi="http://www.w3.org/2001/XInclude"'
EVIL = "http://evil.test/x"
RECT = '<rect id="last" width="40" height="20" fill="#00ff00"/>'
DOT = encoded(Image.new("RGB", (1, 1), (0, 99, 0)), "png")
ATTACKS = [
    "<script>steal()</script>", f'<script href="{EVIL}"/>', '<g onload="steal()" onclick="steal()"/>',
    '<a href="javascript:steal()"><text>x</text></a>', '<a xlink:href=" java&#10;script:steal()"><g/></a>',
    f'<a href="{EVIL}"><g/></a>', '<a href="/steal"><g/></a>',
    '<foreignObject><form xmlns="http://www.w3.org/1999/xhtml" action="/steal"><input/></form></foreignObject>',
    '<foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml" src="/steal"/></foreignObject>',
    '<h:script xmlns:h="http://www.w3.org/1999/xhtml">steal()</h:script>', '<iframe src="/steal"/>',
    '<g xmlns:e="http://www.w3.org/2001/xml-events" e:handler="#steal"><handler id="steal">steal()</handler></g>',
    f'<image href="{EVIL}" width="9" height="9"/>', '<image xlink:href="/steal"/>', '<image href="steal.png"/>',
    f'<image href="//{EVIL[7:]}"/>', '<image href="\\\\evil.test\\x"/>', f'<image xlink:href="{EVIL}" href="/steal"/>',
    '<image href="data:text/html,steal()"/>', '<image href="data:image/svg+xml,&lt;svg onload=&quot;steal()&quot;/>"/>',
    '<image href="data:,steal"/>', '<image href="blob:steal"/>', f'<use href="{EVIL}#a"/>', '<use href="steal.svg#a"/>',
    '<use xlink:href="/steal#a"/>', f'<filter><feImage href="{EVIL}"/></filter>', '<feImage xlink:href="steal"/>',
    f'<pattern href="{EVIL}#p"/>', '<linearGradient xlink:href="steal.svg#g"/>',
    '<textPath href="steal#p">x</textPath>',
    f'<xi:include href="{EVIL}"/>', '<xi:include href="file:///steal" parse="text"/>', f'<g xml:base="{EVIL}"/>',
    f"<style>@import url({EVIL});</style>", f'<style>@import "{EVIL}";</style>', "<style>@\\69mport '/steal';</style>",
    f"<style>@import/**/url('{EVIL}') screen;</style>", "<style>@IMPORT url(steal)</style>",
    f"<style>a {{ background: url({EVIL}) }}</style>", f'<style>a {{ background: URL( "{EVIL}" ) }}</style>',
    "<style>a{background:u\\72l(/steal)}</style>", "<style>a{background:\\75\\72\\6C (steal)url(/steal)}</style>",
    f'<style>a{{background:image-set("{EVIL}" 1x)}}</style>',
    f'<style>a{{background:-webkit-image-set("{EVIL}")}}</style>',
    f'<style>a{{b:image(ltr "{EVIL}",red)}}</style>', f'<style>a{{background:src("{EVIL}")}}</style>',
    f'<style>@font-face{{font-family:x;src:url({EVIL}) format("woff2")}}</style>', "<style>a{b:url(/*)steal}</style>",
    f"<style>/* url( */ a{{b:url({EVIL})}}</style>", f"<style><![CDATA[a{{b:url({EVIL})}}]]></style>",
    f'<style>a{{b:"\\"(";c:url({EVIL})}}</style>', f"<style>c{{d:url('#\\'{EVIL}')}}</style>",
    f"<style>@namespace url({EVIL});</style>", "<style>a{behavior:url(steal.htc);-moz-binding:url(/steal)}</style>",
    "<style>a{width:expression(steal())}</style>", f"<style>a{{b:ur<g/>l({EVIL})}}</style>",
    f"<style>a{{b:url(x)<style>c{{d:url({EVIL})}}</style></style>", f"<style>a{{b:url({EVIL}</style>",
    f"<style>a{{b:u\ufdd0rl({EVIL})}}</style>", f"<style>@im&#xfdd0;port '{EVIL}';</style>",
    f'<g style="b:u\ufdd0rl({EVIL})"/>', f'<g fill="u&#xfdd0;rl({EVIL})"/>',
    f"<style>a{{b:'url(#x' \"y'z)\";c:image-set('{EVIL}' 1x);d:'\"}}</style>",
    f"<style>a{{b:'\\&#10;c:url({EVIL});'}}</style>",
    f"<style>a{{b:'url(#x' \"y'z) ;c:image-set('{EVIL}' 1x);\"}}</style>",
    f"<style>a{{b:'&#13;;c:url({EVIL});d:'}}</style>", "<g style=\"b:'&#13;;c:url(/steal);d:'\"/>",
    "<style>a{b:u\\72 l(/steal)}</style>", f'<style>a{{b:image-se\\74 ("{EVIL}" 1x)}}</style>',
    f'<style>a{{--b:"{EVIL}";c:image-set(var(--b) 1x)}}</style>', f"<g style=\"--b:'{EVIL}'\"/>",
    f'<style>a{{--b:{{}}"{EVIL}"}}</style>', f'<style>a{{\\2d -b:"{EVIL}"}}</style>',
    f'<g style="fill:url({EVIL})"/>', f'<g fill="url({EVIL})" filter="url(steal.svg#f)" mask="url( \'/steal\' )"/>',
    f'<g clip-path="url(&quot;{EVIL}&quot;)" cursor="url(steal),auto"/>', f'<g style="b:image-set(\'{EVIL}\' 1x)"/>',
    '<set attributeName="href" to="javascript:steal()"/>', '<animate attributeName="xlink:href" values="/steal;#a"/>',
    f'<animate attributeName="fill" values="url({EVIL})"/>', '<set attributeName="onclick" to="steal()"/>',
    '<g data-imgserve-href="/steal"/>', '<textPath data-imgserve-href="/steal">x</textPath>',
    f'<?xml-stylesheet href="{EVIL}"?>', "<!-- steal -->", '<metadata><steal xmlns="urn:steal"/></metadata>',
    f'<color-profile name="x" xlink:href="{EVIL}"/>', f'<cursor xlink:href="{EVIL}"/>',
    f'<font-face-uri href="{EVIL}"/>',
    f'<tref xlink:href="{EVIL}"/>', f'<mpath href="{EVIL}"/>', '<video src="/steal"/>', '<link rel="x" href="/steal"/>',
]  # fmt: skip
BENIGN = [
    '<x:rect xmlns:x="urn:x" width="40" height="20"/><rect width="9" height="9" x:fill="red" xmlns:x="urn:x"/>',
    '<rect x="4" y="4" width="20" height="9" rx="3" fill="#c00" stroke="#00f" transform="rotate(5 3,3)"/>',
    '<defs><linearGradient id="a"><stop stop-color="red"/><stop offset="1" stop-color="blue" stop-opacity=".5"/>'
    '</linearGradient><linearGradient id="b" xlink:href="#a" x2="0" y2="1"/></defs>'
    '<rect width="40" height="20" fill="url(#b)"/>',
    '<style>.a{fill:#080} g &gt; circle{stroke:rgb(1, 2, 250);fill:url("#a")} @media screen{rect{opacity:.5}}</style>'
    '<radialGradient id="a"><stop stop-color="red"/></radialGradient><rect class="a" width="9" height="9"/>'
    '<g><circle cx="20" cy="10" r="8"/></g>',
    '<style type="text/css"><![CDATA[ rect > x {fill:blue} rect{fill:#0ff} ]]></style><rect width="40" height="20"/>',
    '<filter id="f"><feGaussianBlur stdDeviation="2"/></filter>'
    '<rect x="5" y="5" width="9" height="9" style="filter:url(#f)"/>',
    '<clipPath id="c"><circle cx="9" cy="9" r="7"/></clipPath><rect width="40" height="20" clip-path="url(#c)"/>',
    '<text font-size="9" y="10"><tspan>ab</tspan><tspan dx="1">cd</tspan> e</text>',
    '<text font-size="9" y="10" xml:space="preserve">a   <tspan>b</tspan>  \n c &#233; &lt;&amp;</text>',
    '<path id="p" d="M0 15 Q20 0 40 15" fill="none" stroke="red"/>'
    '<text font-size="7"><textPath href="#p">along</textPath></text>',
    '<symbol id="s" viewBox="0 0 4 4"><path d="M0 0h4v4z"/></symbol><use xlink:href="#s" width="9" height="9"/>'
    '<use href="#s" x="20" width="9" height="9"/>',
    '<text font-size="14" y="15" fill="#fff" stroke="red" stroke-width="3" paint-order="stroke">B</text>',
    f'<image width="9" height="9" xlink:href="data:image/png;base64,{b64encode(DOT).decode()}"/>',
    '<switch><g systemLanguage="xx"><rect width="9" height="9"/></g><circle r="9"/></switch>',
    '<mask id="m"><rect width="20" height="20" fill="#fff"/></mask><rect width="40" height="20" mask="url(#m)"/>',
]  # fmt: skip
PICTURES = sorted((Path(__file__).parents[3] / "examples" / "pictures").glob("*.svg"))


def sanitized(data: bytes, limits: Limits | None = None) -> bytes:
    result = sanitize.sanitized(data, limits or Limits())
    assert result is not None
    return result


def pixels(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return np.asarray(pyvips.Image.svgload_buffer(data, scale=3).numpy(), dtype=np.uint8)


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_is_left_that_runs_or_leads_elsewhere(attack: str) -> None:
    result = sanitized(svg(attack + RECT, LINKS + ' width="40" height="20" onload="steal()"'))
    text = result.decode()
    assert "evil.test" not in text
    assert not re.search(r"@import|javascript:(?!steal\(\)\"></set>)|<!|<\?(?!xml version)|url\((?!#|\"#)", text), text
    root = ElementTree.fromstring(text)
    for element in root.iter():
        assert element.tag.startswith(SVG), element.tag
        assert element.tag.removeprefix(SVG) not in ("script", "foreignObject", "handler", "iframe", "form", "cursor")
        for name, value in element.attrib.items():
            assert not re.match(r"on|.*[{:]", name), name
            if name.endswith("href"):
                assert re.match(r"#|data:image/(png|jpeg|gif|webp|avif)[;,]", value), value
            if name == "attributeName":
                assert value not in ("href", "xlink:href", "onclick", "fill")
    if "steal" in text:  # as text, or as a value of an animation that changes nothing
        assert {e.tag for e in root.iter() if e.text and "steal" in e.text} <= {SVG + "style"}, text
    last = root.find(f"{SVG}rect")
    assert last is not None
    assert last.attrib == {"id": "last", "width": "40", "height": "20", "fill": "#00ff00"}


@pytest.mark.parametrize("body", BENIGN)
@pytest.mark.parametrize("prefix", ["", "s:"])
def test_a_drawing_looks_as_before(body: str, prefix: str) -> None:
    own = 'width="40" height="20"'
    data = svg(body, f"{LINKS} {own}")
    if prefix:
        data = re.sub(rb"(</?)(?=[A-Za-z]+[\s/>])", rb"\1s:", data).replace(b"xmlns=", b"xmlns:s=")
    before, after = pixels(data), pixels(sanitized(data))
    assert before.any()
    assert np.array_equal(before, after)
    assert sanitized(sanitized(data)) == sanitized(data)


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_the_examples_look_as_before(path: Path) -> None:
    data = path.read_bytes()
    assert np.array_equal(pixels(data), pixels(sanitized(data)))
    assert np.array_equal(pixels(data), pixels(sanitized(gzip.compress(data))))


def test_encodings_and_document_types() -> None:
    body = "<text>\u00e9</text>"
    plain = sanitized(svg(body))
    assert "\u00e9".encode() in plain
    text = svg(body).decode()
    for encoding in ("utf-16", "iso-8859-1"):
        head = f'<?xml version="1.0" encoding="{encoding}"?>'
        assert sanitized((head + text).encode(encoding)) == plain
    kinds = '<!DOCTYPE svg [<!ENTITY e "\u00e9"><!ATTLIST text onclick CDATA "steal()">]>'
    assert sanitized((kinds + text.replace("\u00e9", "&e;")).encode()) == plain
    outside = '<!DOCTYPE svg SYSTEM "http://evil.test/d" [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    assert sanitized((outside + text.replace("\u00e9", "&e;")).encode()) == sanitized(svg("<text></text>"))


def test_an_entity_brings_nothing_in() -> None:
    kinds = "<!DOCTYPE svg [<!ENTITY e \"<script>steal()</script><a href='javascript:steal()'/>\">]>"
    assert b"steal" not in sanitized(kinds.encode() + svg("<g>&e;</g>"))


def bomb() -> bytes:
    levels = "".join(f'<!ENTITY a{level} "' + f"&a{level - 1};" * 10 + '">' for level in range(1, 9))
    return f'<!DOCTYPE svg [<!ENTITY a0 "x">{levels}]>'.encode() + svg("<text>&a8;</text>")


MANY = " ".join(f'data-{number}=""' for number in range(300))


def costly() -> bytes:
    declared = "".join(f'<!ATTLIST g a{number} CDATA "x">' for number in range(101))
    return f"<!DOCTYPE svg [{declared}]>".encode() + svg("<g/>")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (bomb(), SvgInvalid), (costly(), SvgInvalid),
        (svg("<g>" * 2000 + "</g>" * 2000), SvgInvalid), (svg("<g>"), SvgInvalid),
        (svg(f"<g {MANY}/>"), SvgInvalid), (b"<svg", SourceUnreadable),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), SvgInvalid), (gzip.compress(b"words", mtime=0), SourceUnreadable),
        (svg("<!--" + "x" * 5_000_000 + "-->"), PictureTooLarge),
        (gzip.compress(svg(" " * 5_000_000), mtime=0), PictureTooLarge),
        (svg("<g>&nothing;</g>"), SvgInvalid),
    ],
)  # fmt: skip
def test_what_is_refused(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        sanitized(data)


def test_the_limit_holds_for_the_result() -> None:
    data = svg("<g/>" * 10)
    assert len(sanitized(data)) > len(data)
    with pytest.raises(PictureTooLarge):
        sanitized(data, Limits(svg_bytes=len(data)))


def test_without_the_library_nothing_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py_svg_hush", None)
    sanitize.library.cache_clear()
    try:
        assert sanitize.sanitized(svg(RECT), Limits()) is None
    finally:
        sanitize.library.cache_clear()


@pytest.mark.parametrize(
    ("css", "expected"),
    [
        ("a{b:url(#c)}", 'a{b:url("#c")}'), ("a{b:url( '#c' ) d}", 'a{b:url("#c") d}'), ("a{b:url()}", "a{b:none}"),
        ("a[b='c(']{d:\"e\"}", "a[b=\"\"]{d:\"e\"}"), (":not([b='c']){}", ":not([b='c']){}"),
        ("a{b:local(\"c\")}", 'a{b:local("")}'), ("@media (min-width:3px){a{b:c}}", "@media (min-width:3px){a{b:c}}"),
        ("@import 'a' screen;b{c:'d'}", "@unknown \"\" screen;b{c:'d'}"), ("a/* ' */b", "a/**/b"),
        ("a{b:url(data:image/png;base64,AA==)}", 'a{b:url("data:image/png;base64,AA==")}'),
        ("a{b:URL(data:text/html,x)}", "a{b:none}"), ("a{b:url('#c')'d'}", "a{b:url(\"#c\")'d'}"),
        ("a{--b:'c';d:'e'}f{g:'h'}", "a{--b:\"\";d:'e'}f{g:'h'}"), ("a{--b:'c'}f{g:'h'}", "a{--b:\"\"}f{g:'h'}"),
        ("a{b:var(--c)'d'}", "a{b:var(--c)'d'}"), ("a{b:'\r\n;c:url(d)", "a{b:'\n;c:none"), ("\\75 rl(a)", "none"),
        ("a\\62 c{d:'e'}", "abc{d:'e'}"), ("a{b:'c\\d' '@e' 'f'}", "a{b:\"\" \"\" 'f'}"), (".a\\:b \\", ".none "),
    ],
)  # fmt: skip
def test_references_of_a_style_sheet(css: str, expected: str) -> None:
    assert references.without_outer(css) == expected
