"""SVGs that are short to write and long to draw. For ``test_bombs``; the tricks are those of librsvg's own bug tracker
and of the XML and SVG specifications."""

import base64
import gzip

from tests.hostile.bombs_raster import Maker, png, zeros
from tests.support.pictures import slow_svg, svg

PLANE = 'width="900" height="900" xmlns:xlink="http://www.w3.org/1999/xlink"'
ALL = '<rect width="900" height="900" fill="red"'


def drawn(body: str) -> bytes:
    return svg(body, PLANE)


def nested(opening: str, count: int, inside: str = ALL + "/>") -> bytes:
    tag = opening.partition(" ")[0]
    return drawn(f"<{opening}>" * count + inside + f"</{tag}>" * count)


def doubled(levels: int, each: int = 10) -> bytes:
    """``use`` of ``use``: each level shows the one below it so many times. librsvg draws half a million elements."""
    groups = [ALL + ' id="a0"/>']
    for level in range(levels):
        groups.append(f'<g id="a{level + 1}">' + f'<use xlink:href="#a{level}"/>' * each + "</g>")
    return drawn(f'<defs>{"".join(groups)}</defs><use xlink:href="#a{levels}"/>')


def stacked(wrap: str, levels: int) -> bytes:
    """Patterns, masks, clips in each other; ``wrap`` has {n}, the one's number, and {inside}."""
    inside, parts = ALL + "/>", []
    for level in range(levels):
        parts.append(wrap.format(n=level, inside=inside))
        attribute = "fill" if "<pattern" in wrap else "mask" if "<mask" in wrap else "clip-path"
        inside = f'<rect width="900" height="900" {attribute}="url(#p{level})"/>' * 3
    return drawn(f"<defs>{''.join(parts)}</defs>{inside}")


def filtered(primitives: str, region: str = "", times: int = 1) -> bytes:
    shapes = (ALL + ' filter="url(#f)"/>') * times
    return drawn(f'<filter id="f" {region}>{primitives}</filter>{shapes}')


def laughs(levels: int = 9) -> bytes:
    """Entities of entities: the billion laughs."""
    lines = ['<!ENTITY a0 "ha">']
    lines += [f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(levels)]
    body = f"<text>&a{levels};</text>"
    return f"<!DOCTYPE svg [{''.join(lines)}]>".encode() + drawn(body)


def long_entity() -> bytes:
    """One long entity, many times: grows with the square."""
    return f'<!DOCTYPE svg [<!ENTITY a "{"h" * 100_000}">]>'.encode() + drawn(f"<text>{'&a;' * 20_000}</text>")


def marked(count: int) -> bytes:
    marker = '<marker id="m" markerWidth="900" markerHeight="900">' + ALL + ' opacity=".01"/>' + "</marker>"
    points = " ".join(f"{n * 7919 % 900},{n * 104729 % 900}" for n in range(count))
    return drawn(f'<defs>{marker}</defs><polyline fill="none" style="marker:url(#m)" points="{points}"/>')


def dashed() -> bytes:
    return drawn('<path d="M0 0L9e8 9e8" stroke="red" stroke-dasharray=".001"/>')


def picture_inside(data: bytes, kind: str, times: int = 1) -> bytes:
    link = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return drawn(f'<image width="9" height="9" xlink:href="{link}"/>' * times)


def matryoshka(levels: int) -> bytes:
    inner = drawn(ALL + "/>")
    for _ in range(levels):
        inner = picture_inside(inner, "image/svg+xml")
    return inner


def flood_of_text(count: int) -> bytes:
    return drawn(f'<text y="20" textLength="900">{"W" * count}</text>')


def gradient(stops: int, shapes: int) -> bytes:
    made = "".join(f'<stop offset="{n / stops:.6f}" stop-color="#{n % 4096:03x}"/>' for n in range(stops))
    lines = '<rect width="900" height="900" fill="url(#g)" opacity=".01"/>' * shapes
    return drawn(f'<radialGradient id="g">{made}</radialGradient>{lines}')


def styled(rules: int, shapes: int) -> bytes:
    sheet = "".join(f"g g rect:not(.a{n}) ~ rect.b{n}{{fill:red}}" for n in range(rules))
    rects = '<rect width="1" height="1"/>' * shapes
    return drawn(f"<style>{sheet}</style><g><g>{rects}</g></g>")


def strokes() -> bytes:
    return slow_svg(200_000)


def big_inside() -> bytes:
    """A PNG of 64 megapixels within a data: link: above our own limit for a source."""
    return picture_inside(png(8000, 8000, data=zeros(8 << 20)), "image/png")


def comments(size: int) -> bytes:
    return drawn(f"<!--{'x' * size}-->")


def sizeless(data: bytes) -> bytes:
    """The same without width and height: how large it is only what it draws can tell."""
    return data.replace(b' width="900" height="900"', b"", 1)


def declared(attributes: int, elements: int) -> bytes:
    """Elements that all get these attributes from the document type."""
    lists = "".join(f"<!ATTLIST g a{n} CDATA ''>" for n in range(attributes))
    return f"<!DOCTYPE svg [{lists}]>".encode() + drawn("<g/>" * elements)


PATTERN = '<pattern id="p{n}" width="3" height="3" patternUnits="userSpaceOnUse">{inside}</pattern>'
CIRCLE = '<circle cx="450" cy="450" r="440" fill="none" stroke="red" stroke-width="400" opacity=".5"/>'
SYMBOL = '<symbol id="s"><circle r="900" opacity=".5"/></symbol>'
BLUR = '<feGaussianBlur stdDeviation="9"/>'
ATTRIBUTES = " ".join(f'a{n}="b"' for n in range(100_000))
LIGHT = '<feDiffuseLighting><fePointLight z="9"/></feDiffuseLighting>'

# "librsvg" is its own limit or the XML parser's; "markup" is what xmlcheck counts, "deadline" is svg_timeout_s and then
# SIGKILL, "memory" and "measure" are the worker's own watch.
SVG: dict[str, tuple[str, Maker]] = {
    "5 MB and a byte": ("svg_bytes", lambda: comments(5_000_001)),
    "5 MB and a byte, compressed": ("svg_bytes", lambda: gzip.compress(comments(5_000_001))),
    "250,000 members of gzip": ("decoder", lambda: gzip.compress(b"") * 250_000),
    "a thousand million pixels wide": ("librsvg", lambda: svg("", 'width="1000000000" height="1000000000"')),
    "10,000 groups in each other": ("librsvg", lambda: nested('g opacity=".99"', 10_000)),
    "5,000 switches in each other": ("librsvg", lambda: nested("switch", 5000)),
    "900 svgs in each other": ("librsvg", lambda: nested('svg width="900" height="900"', 900)),
    "30,000 links in each other": ("librsvg", lambda: nested("a", 30_000)),
    "900,000 tags that nobody closes": ("librsvg", lambda: svg("<g>" * 900_000)),
    "100,000 attributes": ("librsvg", lambda: drawn(f"<rect {ATTRIBUTES}/>" * 4)),
    "a billion laughs": ("librsvg", laughs),
    "a long entity 20,000 times": ("librsvg", long_entity),
    "use of use, nine levels": ("deadline", lambda: doubled(9)),
    "use of use, five levels": ("deadline", lambda: doubled(5, 13)),
    "masks": ("deadline", lambda: stacked('<mask id="p{n}">{inside}</mask>', 12)),
    "clips": ("deadline", lambda: stacked('<clipPath id="p{n}">{inside}</clipPath>', 12)),
    "8,000 blurs in a row": ("deadline", lambda: filtered(BLUR * 8000)),
    "20,000 things to merge": ("deadline", lambda: filtered(f"<feMerge>{'<feMergeNode/>' * 20_000}</feMerge>")),
    "1,000 displacements": ("deadline", lambda: filtered('<feDisplacementMap in2="SourceGraphic" scale="9"/>' * 2000)),
    "markers": ("deadline", lambda: marked(20_000)),
    "a stroke of 200,000 segments": ("deadline", strokes),
    "a million letters": ("memory", lambda: flood_of_text(1_000_000)),
    "20,000 stops": ("deadline", lambda: gradient(20_000, 2000)),
    "style sheet": ("deadline", lambda: styled(3000, 20_000)),
    "60,000 rectangles": ("deadline", lambda: drawn(f'{ALL} opacity=".5"/>' * 60_000)),
    "30,000 circles": ("deadline", lambda: drawn(CIRCLE * 30_000)),
    "30,000 symbols": ("deadline", lambda: drawn('<use xlink:href="#s"/>' * 60_000 + SYMBOL)),
    "a path of 200,000 arcs": ("memory", lambda: drawn(f'<path d="M0 0{"a900 900 0 1 1 1 1" * 200_000}"/>')),
    "use of use without a size": ("measure", lambda: sizeless(doubled(9))),
    "masks without a size": ("measure", lambda: sizeless(stacked('<mask id="p{n}">{inside}</mask>', 12))),
    "letters without a size": ("measure", lambda: sizeless(flood_of_text(30_000))),
    "arcs without a size": ("measure", lambda: sizeless(drawn(f'<path d="M0 0{"a9e4 9e4 0 1 1 1 1" * 5000}"/>'))),
    "rules without a size": ("measure", lambda: sizeless(styled(3000, 20_000))),
    "1,500 attributes for every element": ("markup", lambda: declared(1500, 4000)),
    "use of itself": ("nothing", lambda: drawn('<g id="a"><use xlink:href="#a"/></g>')),
    "patterns": ("nothing", lambda: stacked(PATTERN, 12)),
    "200 groups in each other": ("nothing", lambda: nested('g opacity=".99"', 200)),
    "a million octaves": ("nothing", lambda: filtered('<feTurbulence baseFrequency=".1" numOctaves="1000000"/>')),
    "a wide blur": ("nothing", lambda: filtered('<feGaussianBlur stdDeviation="100000"/>', times=20)),
    "a filter of 10^18 pixels": (
        "nothing", lambda: filtered(BLUR, 'filterUnits="userSpaceOnUse" width="1e9" height="1e9"')
    ),
    "50 lights": ("nothing", lambda: filtered(LIGHT * 50)),
    "dashes": ("nothing", dashed),
    "a picture of 64 megapixels inside": ("nothing", big_inside),
    "50 pictures of 9 megapixels inside": (
        "nothing", lambda: picture_inside(png(3000, 3000, data=zeros(2 << 20)), "image/png", 50)
    ),
    "svgs as pictures in each other": ("nothing", lambda: matryoshka(12)),
}  # fmt: skip
