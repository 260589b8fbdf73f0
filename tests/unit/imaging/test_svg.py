"""rasterize, against arithmetic on plain shapes: every edge lies where the SVG specification puts it."""

from typing import Literal

import numpy as np
import pytest

from imgserve.imaging.faults import PictureTooLarge, SvgInvalid
from imgserve.imaging.worker.svg import markup, sizing
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from tests.support import pictures
from tests.unit.imaging.conftest import Render

FULL = '<rect width="100%" height="100%" fill="#ff0000"/>'
Edges = tuple[int, int, int, int]


def red_box(render: Render, data: bytes, size: tuple[int, int], operation: Rasterize, dpi: float = 72) -> Edges:
    """Left, top, right, bottom of what is opaque red, which must be a sharp rectangle: no pixel in between."""
    pixels = np.asarray(render(data, operation, size, dpi=dpi).convert("RGBA"))
    mask = (pixels == (255, 0, 0, 255)).all(axis=2)
    assert ((pixels[:, :, 3] == 0) | mask).all(), "something is half transparent or of another colour"
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert mask.sum() == len(rows) * len(columns)
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize(
    ("attributes", "fit", "size", "expected"),
    [
        ('width="40" height="20" viewBox="0 0 40 20"', "contain", (200, 200), (0, 50, 200, 150)),
        ('width="40" height="20" viewBox="0 0 40 20"', "fill", (200, 200), (0, 0, 200, 200)),
        ('width="40" height="20"', "contain", (200, 200), (0, 50, 200, 150)),
        ('width="40" height="20"', "fill", (200, 200), (0, 0, 200, 200)),
        ('viewBox="0 0 40 20"', "contain", (200, 200), (0, 50, 200, 150)),
        ('viewBox="0 0 40 20"', "contain", (400, 100), (100, 0, 300, 100)),
        ('viewBox="0 0 40 20" preserveAspectRatio="xMinYMin"', "contain", (200, 200), (0, 0, 200, 100)),
        ('viewBox="0 0 40 20" preserveAspectRatio="xMidYMax meet"', "contain", (200, 200), (0, 100, 200, 200)),
        ('viewBox="0 0 40 20" preserveAspectRatio="none"', "contain", (200, 200), (0, 0, 200, 200)),
        ('viewBox="0 0 40 20" preserveAspectRatio="xMidYMid slice"', "contain", (200, 200), (0, 0, 200, 200)),
        ('width="40mm" height="20mm" viewBox="0 0 40 20"', "contain", (200, 200), (0, 50, 200, 150)),
        ('width="2in" height="1in"', "contain", (200, 200), (0, 50, 200, 150)),
        ("width='40' height='20' style='width:10px;height:100px'", "contain", (200, 200), (90, 0, 110, 200)),
        ('width="40" height="40" viewBox="0 0 40 20"', "fill", (400, 200), (0, 50, 400, 150)),
        ('width="40" height="40" viewBox="0 0 40 20" preserveAspectRatio="xMinYMin"', "fill", (40, 20), (0, 0, 40, 10)),
        ('viewBox="-20 -10 40 20"', "contain", (80, 40), (40, 20, 80, 40)),
    ],
)
def test_the_shape_lies_where_the_specification_says(
    render: Render, attributes: str, fit: Literal["contain", "fill"], size: tuple[int, int], expected: Edges
) -> None:
    shape = '<rect width="40" height="20" fill="#ff0000"/>' if "viewBox" in attributes else FULL
    data = pictures.svg(shape, attributes)
    assert red_box(render, data, size, Rasterize(fit=fit)) == expected


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (16, 16), (1023, 17), (3000, 2000)])
def test_any_size_is_hit_exactly(render: Render, size: tuple[int, int]) -> None:
    data = pictures.svg(FULL, 'width="333.3" height="77.7"')
    assert red_box(render, data, size, Rasterize(fit="fill")) == (0, 0, *size)


def test_a_circle_is_round_and_sharp(render: Render) -> None:
    data = pictures.svg('<circle cx="10" cy="10" r="10"/>', 'viewBox="0 0 20 20"')
    alpha = np.asarray(render(data, Rasterize(), (500, 500)))[:, :, 3] / 255
    assert alpha.sum() == pytest.approx(np.pi * 250**2, rel=0.001)
    assert ((alpha > 0) & (alpha < 1)).sum() < 4 * 500, "edges of one pixel: drawn at this size, not enlarged"


def test_opaque_colours_are_exact(render: Render) -> None:
    stripes = "".join(
        f'<rect x="{level}" width="1" height="1" fill="rgb({level},{255 - level},7)"/>' for level in range(256)
    )
    data = pictures.svg(stripes, 'width="256" height="1" shape-rendering="crispEdges"')
    drawn = np.asarray(render(data, Rasterize(width=256, height=1), (256, 1)).convert("RGB"))
    levels = np.arange(256)
    assert (drawn[0] == np.stack([levels, 255 - levels, np.full(256, 7)], axis=1)).all()


def test_dpi_touches_absolute_units_only(render: Render) -> None:
    inch = pictures.svg('<rect width="1in" height="1in" fill="#ff0000"/>', 'viewBox="0 0 300 300"')
    assert red_box(render, inch, (300, 300), Rasterize(), dpi=72) == (0, 0, 72, 72)
    assert red_box(render, inch, (300, 300), Rasterize(), dpi=144) == (0, 0, 144, 144)
    pixel = pictures.svg('<rect width="72" height="72" fill="#ff0000"/>', 'viewBox="0 0 300 300"')
    assert red_box(render, pixel, (300, 300), Rasterize(), dpi=144) == (0, 0, 72, 72)


@pytest.mark.parametrize(
    "data",
    [
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- > <svg> -->\n' + pictures.svg(FULL),
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
        + pictures.svg(FULL),
        b'<!DOCTYPE svg [<!-- ]> " --><!ENTITY a "]>">]>' + pictures.svg(FULL),
        ('<?xml version="1.0" encoding="UTF-16"?>' + pictures.svg(FULL).decode()).encode("utf-16"),
        pictures.svg(FULL).replace(b"<", b"<s:").replace(b"<s:/", b"</s:").replace(b"xmlns=", b"xmlns:s="),
        pictures.svg("<style>svg{width:7px !important;height:300px}</style>" + FULL),
    ],
    ids=["bom", "doctype", "subset", "utf-16", "prefix", "style sheet"],
)  # fmt: skip
def test_the_root_is_found_and_resized_however_it_is_written(render: Render, data: bytes) -> None:
    assert red_box(render, data, (80, 80), Rasterize()) == (0, 20, 80, 60)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"<html></html>", b"<svg", b"<!-- <svg/>", pictures.svg(FULL)[:-9], b"\x1f\x8b\x08" + bytes(80),
     pictures.encoded(pictures.scene(9, 9), "png"), pictures.svg(FULL, 'width="0" height="0"'),
     pictures.svg(FULL, 'width="99999999999" height="4"')],
)  # fmt: skip
def test_what_is_no_svg_is_refused_as_such(render: Render, data: bytes) -> None:
    with pytest.raises(SvgInvalid):
        render(data, Rasterize(), (10, 10))


def test_a_long_svg_is_not_even_opened(render: Render) -> None:
    data = pictures.svg(FULL + "<!--" + "x" * 5000 + "-->")
    assert render(data, Rasterize(), (10, 10)).size == (10, 10)
    with pytest.raises(PictureTooLarge, match="svg_bytes"):
        render(data, Rasterize(), (10, 10), limits=Limits(svg_bytes=5000))


def test_natural_size_is_precise() -> None:
    assert sizing.natural_size(pictures.svg(FULL, 'viewBox="0 0 1 3.3333"')) == pytest.approx((1, 3.3333), abs=0.001)
    inches = pictures.svg(FULL, 'width="1in" height="2in"')
    assert sizing.natural_size(inches, 96) == pytest.approx((96, 192), abs=0.01)
    assert sizing.natural_size(pictures.svg(FULL, 'width="200000" height="3"')) == (200000, 3)


@pytest.mark.parametrize(
    ("prolog", "is_found"),
    [
        (b"", True),
        (b"\xef\xbb\xbf \r\n\t<?xml version='1.0'?><!-- <svg> --><?a <svg> ?>", True),
        (b"<!DOCTYPE svg>", True),
        (b"<!doctype svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" 'a>b'><!-- -->", True),
        (b"<!DOCTYPE svg [<!ENTITY a '<svg>]>'> <!-- ]> --> <?a ]> ?> <!ELEMENT svg (#PCDATA)>] >", True),
        (b"<!DOCTYPE svg [<!ENTITY a 'b'>", False),
        (b"<!DOCTYPE svg '>", False),
        (b"<!DOCTYPE svg [<!-- ]>", False),
        (b"<!-->", False),
        (b"<?xml >", False),
        (b"<g>", False),
        (b"text", False),
    ],
)
def test_the_root_stands_behind_any_prolog(prolog: bytes, is_found: bool) -> None:
    root = markup.find_root(prolog + b"<svg width='3'>")
    assert (root is not None) == is_found
    if root is not None:
        assert (root.names_end, root.attributes) == (len(prolog) + 4, {b"width": b"3"})


@pytest.mark.parametrize("count", [200_000])
def test_hostile_markup_is_read_in_linear_time(count: int) -> None:
    for start in (
        b"<!--",
        b"<!DOCTYPE x [" + b"<!--",
        b"<!DOCTYPE x [",
        b"<!DOCTYPE x>",
        b"<!DOCTYPE x " + b'"',
        b"<svg " + b"a=",
        b"<svg" + b" a='",
    ):
        assert markup.find_root(start * count) is None


def test_a_picture_to_be_drawn_is_no_svg(render: Render) -> None:
    """As when the source changes behind the probe."""
    with pytest.raises(SvgInvalid, match="the source is no SVG") as caught:
        render(pictures.encoded(pictures.scene(40, 20), "png"), Rasterize(20, 10), (20, 10))
    assert 'or use operations[0].operation = "resize"' in caught.value.sentence()
