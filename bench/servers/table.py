"""The figures of a run as Markdown: an overview, then a table for each cell. Called by ``__main__``; pure."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from statistics import mean, median

from bench.figures import spread
from bench.servers.cells import CELLS
from bench.servers.figures import CellFigures, Row, Run, cpu_ratios, ratios
from bench.servers.measure import ALONE

BASES = ("sharp", *ALONE)
_NONE, _LINE = "-", 120
_TITLES = {cell.name: cell.title for cell in CELLS}


def markdown(run: Run) -> str:
    base = base_of(run)
    rounds = f"{run.rounds} round{'s' * (run.rounds > 1)}"
    clients = run.usual_clients
    lines = [
        textwrap.fill(
            f"Measured on {run.date}: {run.machine}. {run.photographs}. {rounds} of {run.seconds:g} s for each server"
            f" and number of clients. Versions: {_versions(run)}.",
            _LINE,
        ),
        "",
        f"Pictures for a second of CPU with {clients} clients, as a ratio to {base}, median of the rounds:",
        "",
        *_overview(run, base, cpu_ratios),
        "",
        f"Pictures a second with {clients} clients, as a ratio to {base} in the same round, median of the rounds:",
        "",
        *_overview(run, base, ratios),
    ]
    for cell in run.cells:
        lines += ["", f"### {_TITLES.get(cell.cell, cell.cell)}", "", *_cell(run, cell, base)]
    return "\n".join(lines) + "\n"


def base_of(run: Run) -> str:
    """The server that the others are compared with: sharp, if it was measured."""
    measured = {row.server for cell in run.cells for row in cell.rows if row.loads}
    return next((name for name in BASES if name in measured), next(iter(sorted(measured)), ""))


def servers_of(run: Run) -> list[str]:
    names: dict[str, None] = {}
    for cell in run.cells:
        names.update(dict.fromkeys(row.server for row in cell.rows))
    return list(names)


def _versions(run: Run) -> str:
    return ", ".join(f"{name} {version}" for name, version in run.versions.items() if version) or _NONE


def _overview(run: Run, base: str, ratios_of: Callable[[Row, Row, int], list[float]]) -> Iterator[str]:
    yield "| server | " + " | ".join(cell.cell for cell in run.cells) + " | mean |"
    yield "|---" * (len(run.cells) + 2) + "|"
    for name in servers_of(run):
        values = [_ratio(run, cell, name, base, ratios_of) for cell in run.cells]
        measured = [value for value in values if value is not None]
        yield f"| {name} | " + " | ".join(_number(value, 2) for value in values) + f" | {_mean(measured)} |"


def _ratio(
    run: Run, cell: CellFigures, name: str, base: str, ratios_of: Callable[[Row, Row, int], list[float]]
) -> float | None:
    row, other = cell.row(name), cell.row(base)
    values = ratios_of(row, other, run.usual_clients) if row is not None and other is not None else []
    return median(values) if values else None


def _cell(run: Run, cell: CellFigures, base: str) -> Iterator[str]:
    latencies = " | ".join(f"p50, p99 ms: {clients}" for clients in run.clients)
    yield f"{cell.sources}."
    yield ""
    yield (
        f"| server | pictures/s | to {base} | CPU ms | {latencies} | SSIMULACRA2: mean, lowest | KB"
        " | MiB: at rest | during | a minute after |"
    )
    yield "|---" * (9 + len(run.clients)) + "|"
    for row in cell.rows:
        if row.loads:
            yield f"| {row.server} | " + " | ".join(_cells(run, cell, row, base)) + " |"
    refused = [f"{row.server}: {row.refusal}" for row in cell.rows if row.refusal]
    failed = [
        f"{row.server}: {count} requests failed" for row in cell.rows if (count := sum(x.failures for x in row.loads))
    ]
    if refused or failed:
        yield ""
        yield textwrap.fill("Without figures or with failures: " + "; ".join(refused + failed) + ".", _LINE)


def _cells(run: Run, cell: CellFigures, row: Row, base: str) -> Iterator[str]:
    usual = run.usual_clients
    other = cell.row(base)
    yield spread([load.per_second for load in row.of(usual)], 0)
    yield spread(ratios(row, other, usual)) if other is not None else _NONE
    yield _number(row.cpu_ms(usual), 1)
    for clients in run.clients:
        has_times = any(load.latencies_ms for load in row.of(clients))
        shares = [row.latency_ms(clients, share) for share in (0.5, 0.99)] if has_times else []
        yield ", ".join(f"{value:.0f}" for value in shares) or _NONE
    scores, sizes = (row.quality.scores, row.quality.sizes_bytes) if row.quality else ([], [])
    yield f"{mean(scores):.1f}, {min(scores):.1f}" if scores else _NONE
    yield _number(mean(sizes) / 1000 if sizes else None, 1)
    yield _number(run.rest_mib.get(row.server), 0)
    yield _number(row.peak_mib, 0)
    yield _number(row.after_mib, 0)


def _mean(values: Sequence[float]) -> str:
    return f"{mean(values):.2f}" if values else _NONE


def _number(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"
