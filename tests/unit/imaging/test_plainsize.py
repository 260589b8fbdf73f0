"""The size that a plain root says is that which librsvg measures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.imaging.worker.svg import markup, plainsize, sizing
from tests.support import pictures

LENGTHS = st.sampled_from(["1", "24", "24px", "512", "9999", "7.25", "33.3px", "1000.01"])
VIEWS = st.sampled_from(["0 0 24 24", "-12 -12.5 24 48", "0 0 1.5 9999"])
PLAIN_ROOTS = st.fixed_dictionaries(
    {},
    optional={
        "width": LENGTHS, "height": LENGTHS, "viewBox": VIEWS, "preserveAspectRatio": st.sampled_from(["none", "junk"]),
        "style": st.sampled_from(["color:red", "enable-background:new 0 0 24 24;", "all:unset"]), "class": st.just("a"),
        "fill": st.just("none"), "version": st.just("1.1"), "aria-label": st.just("width"), "x": st.just("9px"),
        "xmlns:xlink": st.just("http://www.w3.org/1999/xlink"), "data-name": st.just("&#52;"),
    },
)  # fmt: skip
DPI = (72.0, 96.0)
ODD_LENGTHS = (
    "0", "0.5", "10000", "24 ", "+7", "1e2", "24PX", "100%", "2em", "12pt", "3.333", "07", ".5", "", "-5", "&#52;0",
)  # fmt: skip
ODD_VIEWS = ("0 0 0 9", "0 0 -1 9", "0,0,24,24", "0 0 24", " 0 0 24 24", "a", "")
ODD = (
    *(("width", length) for length in ODD_LENGTHS), *(("height", length) for length in ODD_LENGTHS),
    *(("viewBox", view) for view in ODD_VIEWS), ("style", "width:30px"), ("style", "h\\65ight:30px"),
    ("display", "none"), ("transform", "scale(2)"), ("requiredFeatures", "junk"), ("font-size", "30"),
    ("xmlns", "http://www.w3.org/2001/svg"), ("xmlns", ""),
)  # fmt: skip
PROLOGS = st.sampled_from([
    "", '<?xml version="1.0"?>\n', '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<!-- A --><!-- B -->\n',
])  # fmt: skip
ODD_PROLOGS = (
    "<?xml version='1.1'?>", '<?xml-stylesheet href="data:text/css,svg{width:9px}"?>', "<!DOCTYPE svg>",
    '<!DOCTYPE svg [<!ATTLIST svg width CDATA "11" height CDATA "12">]>', "\ufeff", "<?a b?>",
)  # fmt: skip


@settings(max_examples=400)
@given(PLAIN_ROOTS, PROLOGS, st.sampled_from(DPI))
def test_a_root_that_says_its_size_is_measured_as_by_librsvg(root: dict[str, str], prolog: str, dpi: float) -> None:
    check(prolog, root, dpi)


@pytest.mark.parametrize("dpi", DPI)
@pytest.mark.parametrize("sides", [{"width": "24", "height": "48"}, {"viewBox": "0 0 24 48"}, {}])
def test_what_is_odd_is_measured_as_by_librsvg(sides: dict[str, str], dpi: float) -> None:
    for name, value in ODD:
        check("", {**sides, name: value}, dpi)
    for prolog in ODD_PROLOGS:
        check(prolog, sides, dpi)


def check(prolog: str, root: dict[str, str], dpi: float) -> None:
    attributes = {"xmlns": "http://www.w3.org/2000/svg", **root}
    written = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    data = f"{prolog}<svg {written}/>".encode()
    found = markup.find_root(data)
    size = plainsize.size(found) if found is not None else None
    if size is not None:
        assert size == sizing._size_of(data, dpi, is_precise=True), data
        assert size == sizing.natural_size(data, dpi), data


PLAIN = {
    "both sides": ('width="24" height="48px"', (24, 48)),
    "the view alone": ('viewBox="-1 0 24.5 48"', (24.5, 48)),
    "all of it": (
        'class="a" width="7.25" height="9999" viewBox="0 0 1 2" aria-hidden="true"',
        (7.25, 9999),
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_librsvg_is_not_asked_for_a_size_that_is_said(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delattr(sizing, "load")
    attributes, size = PLAIN[name]
    sheet = "<style>path{stroke:red}</style>"
    assert sizing.natural_size(b'<?xml version="1.0"?><!-- a -->' + pictures.svg(sheet, attributes)) == size


@pytest.mark.parametrize("sheet", ["svg{width:30px}", "svg{w\\69 dth:30px}", "@import 'a.css';"])
def test_librsvg_is_asked_where_a_style_sheet_may_size_the_root(sheet: str) -> None:
    data = pictures.svg(f"<style>{sheet}</style>", 'width="24" height="24"')
    assert sizing.natural_size(data)[0] == sizing._size_of(data, sizing.NEUTRAL_DPI, is_precise=True)[0]
    assert (sizing.natural_size(data)[0] == 30) == ("30px" in sheet)
