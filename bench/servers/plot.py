"""The figures of a run as an SVG: a bar for each server in each cell. Called by ``__main__``; pure.

Written as text: a bar is a rectangle, and a picture of this kind needs no library.
"""

from collections.abc import Iterator
from html import escape
from statistics import median

from bench.servers.cells import CELLS
from bench.servers.figures import CellFigures, Run, ratios
from bench.servers.table import base_of, servers_of

_ROW_PX, _BAR_PX, _HEAD_PX, _GAP_PX = 18, 13, 26, 14
_LABEL_PX, _BARS_PX, _WIDTH_PX = 150, 480, 760
_TOP_PX = 46
_OWN, _OTHERS = "#1b6ca8", "#9aa5b1"
_TITLES = {cell.name: cell.title for cell in CELLS}


def svg(run: Run) -> str:
    base, servers = base_of(run), servers_of(run)
    bars = {cell.cell: list(_ratios(run, cell, servers, base)) for cell in run.cells}
    most = max((highest for rows in bars.values() for _, _, _, highest in rows), default=1.0)
    parts, y = [], _TOP_PX
    for name, rows in bars.items():
        parts.append(_text(8, y + 14, _TITLES.get(name, name), "font-weight='bold'"))
        y += _HEAD_PX
        for row in rows:
            parts += _bar(y, _BARS_PX / most, *row)
            y += _ROW_PX
        y += _GAP_PX
    x = _LABEL_PX + _BARS_PX / most
    title = f"Pictures a second, {run.usual_clients} clients, as a ratio to {base}: median, lowest and highest round"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH_PX}' height='{y}' viewBox='0 0 {_WIDTH_PX} {y}'"
        " font-family='sans-serif' font-size='12'>"
        f"<rect width='{_WIDTH_PX}' height='{y}' fill='#ffffff'/>"
        + _text(8, 20, title, "font-size='14'")
        + f"<line x1='{x:.1f}' y1='{_TOP_PX}' x2='{x:.1f}' y2='{y}' stroke='#c9485b' stroke-dasharray='3 3'/>"
        + "".join(parts)
        + "</svg>\n"
    )


def _ratios(run: Run, cell: CellFigures, servers: list[str], base: str) -> Iterator[tuple[str, float, float, float]]:
    """Name, median, lowest, highest."""
    other = cell.row(base)
    for name in servers:
        row = cell.row(name)
        values = ratios(row, other, run.usual_clients) if row is not None and other is not None else []
        if values:
            yield name, median(values), min(values), max(values)


def _bar(y: float, scale: float, name: str, middle: float, lowest: float, highest: float) -> Iterator[str]:
    left, right = _LABEL_PX + lowest * scale, _LABEL_PX + highest * scale
    line_y = y + _BAR_PX / 2
    yield _text(_LABEL_PX - 6, y + 11, name, "text-anchor='end'")
    fill = _OWN if name.startswith("imgserve") else _OTHERS
    yield f"<rect x='{_LABEL_PX}' y='{y}' width='{middle * scale:.1f}' height='{_BAR_PX}' fill='{fill}'/>"
    yield f"<line x1='{left:.1f}' y1='{line_y}' x2='{right:.1f}' y2='{line_y}' stroke='#222222'/>"
    yield _text(max(right, _LABEL_PX + middle * scale) + 6, y + 11, f"{middle:.2f}")


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' fill='#222222' {attributes}>{escape(text)}</text>"
