"""Style sheets and attributes of SVGs made safe, read again as a browser reads them: no reference leads out."""

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.imaging.faults import SvgInvalid
from imgserve.imaging.worker.svg import sanitize
from imgserve.request.limits import Limits
from tests.support.css import outer_references
from tests.support.pictures import svg

EVIL = "http://evil.test/x"
PIECES = (
    "url(", "URL(", "u\\72l(", "u\\72 l(", "\\75 rl(", "xurl(", "u", "rl(", "url(#a)", "url('", 'url("', "url(\\",
    EVIL, f'"{EVIL}"', f"'{EVIL}'", '"', "'", '\\"', "\\'", "\\)", "(", ")", "{", "}", "[", "]", ";", ":", ",", "a",
    "b:", "--x:", "--", "var(--x)", "@import ", "@\\69mport", "@im", "port ", "@media ", "@namespace x", "@font-face",
    "@", "image-set(", "im\\61ge-set(", "-webkit-image-set(", "src(", "expression(", "none", "\\", "\\\n", "\\0",
    "\\9 ", "\\e9 ", "\n", "\r", "/*", "*/", "<!--", "-->", "#x", "#", "-", "+1", "1e3", "1px", " ", "\t", "\ufdd0",
    "\ufffd", "\u00e9", "!important", "data:image/png;base64,AA==", '"data:image/png;base64,AA=="',
)  # fmt: skip
CSS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map("".join)


def escaped(css: str) -> str:
    text = css.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text.replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#9;")


@pytest.mark.parametrize(
    ("css", "outer"),
    [
        (f"a{{b:url({EVIL})}}", [EVIL]), (f"a{{b:url( '{EVIL}' )}}", [EVIL]), ("a{b:url(#c) url('#d')}", []),
        (f"a{{b:u\\72 l({EVIL})}}", [EVIL]), (f"@import '{EVIL}';", [EVIL]), (f"a{{content:'{EVIL}'}}", []),
        (f"a{{b:image-set('{EVIL}' 1x)}}", [EVIL]), (f"a{{--b:'{EVIL}'}}c{{d:'e'}}", [EVIL]), (f"/*url({EVIL})*/", []),
        (f"a{{b:'\n;c:url({EVIL})}}", [EVIL]), (f"a{{b:url(c d);e:url({EVIL})}}", [EVIL]), (f"a{{b:xurl({EVIL})}}", []),
    ],
)  # fmt: skip
def test_what_a_browser_would_load(css: str, outer: list[str]) -> None:
    assert outer_references(css) == outer


@settings(max_examples=300)
@given(CSS, st.booleans())
def test_no_style_sheet_leads_out(css: str, is_in_rule: bool) -> None:
    assert_safe(f"<style>{escaped(('a{b:' if is_in_rule else '') + css)}</style>")


@settings(max_examples=300)
@given(CSS)
def test_no_attribute_leads_out(css: str) -> None:
    assert_safe(f'<rect style="{escaped(css)}"/><rect fill="{escaped(css)}"/>')


def assert_safe(drawing: str) -> None:
    try:
        text = sanitize.sanitized(svg(drawing), Limits())
    except SvgInvalid:  # svg-hush has given up
        return
    assert text is not None
    for element in ElementTree.fromstring(text).iter():
        assert outer_references(element.text or "") == []
        assert outer_references(element.get("style", "")) == []
        # A presentation attribute has neither rules nor declarations.
        assert outer_references(element.get("fill", "").replace("@", "").replace("--", "")) == []
