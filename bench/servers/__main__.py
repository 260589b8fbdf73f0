"""imgserve beside other servers: pictures a second, CPU, memory, latency, bytes and quality. ``make bench`` runs it.

    python -m bench.servers [--cells NAME ...] [--servers NAME ...] [--rounds N] [--seconds S] [--clients N ...]
                            [--peer NAME=URL ...] [--photographs DIR] [--after S] [--out DIR] [--resume] [--quick]
    python -m bench.servers --from FILE [--docs]     tables and plot of a run that has been measured

All servers run at the same time, and each round asks them in turns, so that a drift of the machine meets all of them.
Method and caveats are in bench/README.md.
"""

import argparse
import asyncio
import contextlib
import datetime
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import uvloop
from bench.peers import Peers
from bench.servers import contestants, measure, plot, table
from bench.servers.cells import CELLS, Cell
from bench.servers.contestants import CONTESTANTS, ROOT, NotInstalled, Server, Setting, Start
from bench.servers.figures import CellFigures, Load, Quality, Row, Run, usual
from bench.servers.judge import Judge, Unfit
from bench.servers.machine import machine
from bench.servers.measure import ALONE, Origin
from bench.servers.photographs import NoPhotographs, photographs
from bench.servers.sources import sources

KEPT = ROOT / ".venv/bench"
PAGE, PLOT = ROOT / "docs/performance.md", ROOT / "docs/images/servers.svg"
BEGIN, END = "<!-- measured: servers -->\n", "<!-- end -->"
_REST_S = 10.0
_ORDER = [cell.name for cell in CELLS]


async def bench(options: argparse.Namespace, directory: Path) -> Run:
    """Writes what it has after each cell, so that an interrupted run is not lost."""
    paths, told = photographs(KEPT / "photographs", options.photographs)
    print(told, flush=True)
    peers = Peers(b"")
    await peers.start()
    origin = f"127.0.0.1:{peers.source_port}"
    with contextlib.ExitStack() as running:
        daemon = running.enter_context(contestants.daemon(directory, origin))
        servers = started(options, running, Setting(directory, origin, daemon))
        await asyncio.sleep(min(_REST_S, options.after or _REST_S))
        run = Run(
            date=datetime.datetime.now(datetime.UTC).strftime("%-d %B %Y"),
            machine=machine() + (f"; {options.note}" if options.note else ""),
            photographs=told,
            clients=options.clients,
            rounds=options.rounds,
            seconds=options.seconds,
            versions={server.name: server.version for server in servers},
            rest_mib={server.name: measure.tree_mib(server.pid) for server in servers},
            cells=earlier(options),
        )
        for cell in CELLS:
            if cell.name in options.cells and cell.name not in {there.cell for there in run.cells}:
                directory_of_sources = KEPT / ("sources" if options.photographs is None else "own")
                pictures = sources(cell, paths, directory_of_sources)
                files = sorted(directory_of_sources.glob(f"{cell.name}-*"))
                print(f"\n{cell.title}: {described(pictures)}", flush=True)
                run.cells.append(await measured(cell, pictures, files, servers, peers, options))
                run.cells.sort(key=lambda figures: _ORDER.index(figures.cell))
                written(run, options.out)
        await asyncio.to_thread(daemon.stop)
    peers.close()
    return run


def earlier(options: argparse.Namespace) -> list[CellFigures]:
    """The cells of the run that is gone on with."""
    path = options.out / "servers.json"
    return msgspec.json.decode(path.read_bytes(), type=Run).cells if options.resume and path.exists() else []


def started(options: argparse.Namespace, running: contextlib.ExitStack, setting: Setting) -> list[Server]:
    servers = []
    others: dict[str, Start] = {name: partial(contestants.other, url=url) for name, url in options.peer}
    for name, start in {**CONTESTANTS, **others}.items():
        if name in options.servers or name in others:
            try:
                servers.append(running.enter_context(contestants.running(start, setting, name)))
            except NotInstalled as error:
                print(f"without {name}: {error}", flush=True)
    return servers


async def measured(
    cell: Cell, pictures: list[bytes], files: list[Path], servers: Sequence[Server], peers: Peers,
    options: argparse.Namespace,
) -> CellFigures:  # fmt: skip
    judge, origin = Judge(cell, pictures), Origin(peers, cell, pictures)
    qualities: dict[str, Quality] = {}
    refusals: dict[str, str] = {}
    for server in servers:
        try:
            qualities[server.name] = await judge.asked(server, origin)
        except Unfit as error:
            refusals[server.name] = str(error)
            print(f"  {server.name} {error}", flush=True)
    able = [server for server in servers if server.name in qualities]
    alone = [name for name in ALONE if name in options.servers]
    if "libvips by hand" in alone:
        qualities["libvips by hand"] = judge.by_hand()
    loads: dict[str, list[Load]] = {name: [] for name in (*alone, *(server.name for server in able))}
    for number in range(options.rounds):
        await one_round(number, cell, files, alone, able, origin, options, loads)
    await asyncio.sleep(options.after)
    after = {server.name: measure.tree_mib(server.pid) if options.after else None for server in servers}
    rows = [
        Row(name, refusal=refusals[name])
        if name in refusals
        else Row(name, loads[name], qualities.get(name), after.get(name))
        for name in (*alone, *(server.name for server in servers))
    ]
    return CellFigures(cell.name, described(pictures), rows)


async def one_round(
    number: int, cell: Cell, files: list[Path], alone: Sequence[str], able: Sequence[Server], origin: Origin,
    options: argparse.Namespace, loads: Mapping[str, list[Load]],
) -> None:  # fmt: skip
    """Every second round asks in the other direction."""
    usual_clients = usual(options.clients)
    for name in alone:
        loads[name].append(await measure.alone(ALONE[name], cell, files, number, usual_clients, options.seconds))
        show(name, loads[name][-1])
    for clients in options.clients:
        for server in able if number % 2 == 0 else reversed(able):
            loads[server.name].append(await measure.loaded(server, origin, number, clients, options.seconds))
            show(server.name, loads[server.name][-1])


def show(name: str, load: Load) -> None:
    cpu = "" if load.cpu_ms is None else f", {load.cpu_ms:.1f} ms CPU"
    memory = "" if load.pss_mib is None else f", {load.pss_mib:.0f} MiB"
    print(f"  round {load.round + 1}, {load.clients} clients, {name}: {load.per_second:.1f}/s{cpu}{memory}", flush=True)


def described(pictures: Sequence[bytes]) -> str:
    mean_kb = sum(map(len, pictures)) / len(pictures) / 1000
    return f"{len(pictures)} sources of {mean_kb:,.1f} KB in the mean"


def written(run: Run, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "servers.json").write_bytes(msgspec.json.encode(run))
    (directory / "servers.md").write_text(table.markdown(run))
    (directory / "servers.svg").write_text(plot.svg(run))


def into_docs(run: Run) -> None:
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{table.markdown(run)}{END}{after}")
    PLOT.write_text(plot.svg(run))


def named(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=URL, got {text!r}")
    return name, url


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    cells, servers = [cell.name for cell in CELLS], [*ALONE, *CONTESTANTS]
    parser = argparse.ArgumentParser("bench.servers", description="imgserve beside other servers.")
    parser.add_argument(
        "--cells", nargs="+", choices=cells, default=cells, metavar="NAME", help=f"of {', '.join(cells)}"
    )
    parser.add_argument(
        "--servers", nargs="+", choices=servers, default=servers, metavar="NAME", help="; ".join(servers)
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load (default: %(default)s)")
    parser.add_argument("--clients", type=int, nargs="+", default=[2, 16, 64], metavar="N")
    parser.add_argument("--peer", type=named, action="append", default=[], metavar="NAME=URL", help=PEER_HELP)
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="your own, at least 2040 px wide")
    parser.add_argument(
        "--after", type=float, default=60.0, metavar="S", help="until memory is read again; 0: not at all"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "bench-out", metavar="DIR")
    parser.add_argument("--note", default="", metavar="TEXT", help="about the machine, for the table")
    parser.add_argument("--resume", action="store_true", help="keep the cells of the earlier run that DIR has")
    parser.add_argument("--quick", action="store_true", help="one round of a second, 16 clients, no wait")
    parser.add_argument("--from", dest="measured", type=Path, metavar="FILE", help="servers.json of an earlier run")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/performance.md")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds, options.clients, options.after = 1, 1.0, [16], 0.0
    return options


PEER_HELP = (
    "a server that runs already: {source} is the encoded URL of the picture, {plain_source} the same as it is; {width},"
    " {height}, {format}, {extension}, {quality}; {fit=A|B} is A, or B where the picture is cut"
)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an end of the bench ends its servers too
    if options.measured:
        run = msgspec.json.decode(options.measured.read_bytes(), type=Run)
    else:
        try:
            with tempfile.TemporaryDirectory(prefix="imgserve-bench-") as directory:
                run = uvloop.run(bench(options, Path(directory)))
        except NoPhotographs as error:
            sys.exit(f"bench.servers: {error}")
    written(run, options.out)
    if options.docs:
        into_docs(run)
    print(f"\n{table.markdown(run)}\nin {options.out}: servers.md, servers.svg, servers.json")


if __name__ == "__main__":
    main()
