"""The figures of a run as an SVG: a bar for each server in each cell. Called by ``__main__``; pure.

Written as text: a bar is a rectangle, and a picture of this kind needs no library.
"""

from collections.abc import Iterator
from html import escape
from statistics import median
from typing import NamedTuple

from bench.servers.cells import CELLS
from bench.servers.figures import CellFigures, Run, cpu_ratios, ratios
from bench.servers.table import base_of, servers_of

_ROW_PX, _BAR_PX, _HEAD_PX, _GAP_PX = 18, 13, 26, 14
_LABEL_PX, _BARS_PX, _WIDTH_PX = 150, 480, 760
_TOP_PX = 64
_OWN, _OTHERS, _BASE, _BY_CPU = "#1b6ca8", "#9aa5b1", "#c9485b", "#e09f3e"
_INK = "#222222"
_TITLES = {cell.name: cell.title for cell in CELLS}


class Bar(NamedTuple):
    """Of one server. ``by_cpu``: None if its CPU is not seen."""

    server: str
    middle: float
    lowest: float
    highest: float
    by_cpu: float | None

    @property
    def longest(self) -> float:
        return max(self.middle, self.by_cpu or 0.0)


def svg(run: Run) -> str:
    base = base_of(run)
    bars = {cell.cell: list(_bars(run, cell, base)) for cell in run.cells}
    # By the medians: one odd round of a noisy machine would make all other bars short.
    most = max((bar.longest for some in bars.values() for bar in some), default=1.0)
    parts, y = [], _TOP_PX
    for name, some in bars.items():
        parts.append(_text(8, y + 14, _TITLES.get(name, name), "font-weight='bold'"))
        y += _HEAD_PX
        for bar in some:
            parts += _drawn(bar, y, most)
            y += _ROW_PX
        y += _GAP_PX
    x = _x(1.0, most)
    clients = run.usual_clients
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH_PX}' height='{y}' viewBox='0 0 {_WIDTH_PX} {y}'"
        " font-family='sans-serif' font-size='12'>"
        f"<rect width='{_WIDTH_PX}' height='{y}' fill='#ffffff'/>"
        + _text(8, 20, f"Pictures a second with {clients} clients, as a ratio to {base}", "font-size='14'")
        + _text(8, 38, "bar: median; line: lowest and highest round; diamond: the same for a second of CPU")
        + f"<line x1='{x:.1f}' y1='{_TOP_PX}' x2='{x:.1f}' y2='{y}' stroke='{_BASE}' stroke-dasharray='3 3'/>"
        + "".join(parts)
        + "</svg>\n"
    )


def _bars(run: Run, cell: CellFigures, base: str) -> Iterator[Bar]:
    other = cell.row(base)
    for name in servers_of(run):
        row = cell.row(name)
        if row is not None and other is not None and (values := ratios(row, other, run.usual_clients)):
            by_cpu = cpu_ratios(row, other, run.usual_clients)
            yield Bar(name, median(values), min(values), max(values), median(by_cpu) if by_cpu else None)


def _x(value: float, most: float) -> float:
    return _LABEL_PX + min(value, most) / most * _BARS_PX


def _drawn(bar: Bar, y: float, most: float) -> Iterator[str]:
    left, right, end, middle_y = _x(bar.lowest, most), _x(bar.highest, most), _x(bar.middle, most), y + _BAR_PX / 2
    fill = _OWN if bar.server.startswith("imgserve") else _OTHERS
    yield _text(_LABEL_PX - 6, y + 11, bar.server, "text-anchor='end'")
    yield f"<rect x='{_LABEL_PX}' y='{y}' width='{end - _LABEL_PX:.1f}' height='{_BAR_PX}' fill='{fill}'/>"
    yield f"<line x1='{left:.1f}' y1='{middle_y}' x2='{right:.1f}' y2='{middle_y}' stroke='{_INK}'/>"
    if bar.by_cpu is not None:
        x = _x(bar.by_cpu, most)
        yield f"<path d='M{x:.1f} {y + 1}l5.5 5.5l-5.5 5.5l-5.5 -5.5z' fill='{_BY_CPU}' stroke='{_INK}'/>"
    yield _text(_LABEL_PX + _BARS_PX + 12, y + 11, _numbers(bar))


def _numbers(bar: Bar) -> str:
    return f"{bar.middle:.2f}" + (f"; CPU {bar.by_cpu:.2f}" if bar.by_cpu is not None else "")


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' fill='{_INK}' {attributes}>{escape(text)}</text>"
