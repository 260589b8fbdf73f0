"""How many jobs a second, against libvips alone in the same minute; method and caveats in README.md beside this file.

    python -m bench.jobs [--rounds N] [--jobs N] [--under-way N] [--workers N] [--seconds S] [--data-dir DIR]

Each round measures four things one after the other: two bare libvips processes, jobs with a placeholder, the pool
called directly, jobs without a placeholder. Ratios are made within a round; the median of the rounds is the figure.
"""

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec
import uvloop
from bench.direct import Done
from bench.figures import percentile, spread, verdict
from bench.load import Load, Measured
from bench.peers import Peers
from bench.picture import photo
from tests.support.daemon import LOOPBACK, Daemon

BARE_PROCESSES = 2
TARGET_WITH, TARGET_WITHOUT, TARGET_EXTRA_MS = 0.65, 0.70, 5.0


class Round(NamedTuple):
    bare: list[Done]
    engine: Done
    with_placeholder: Measured
    without: Measured

    @property
    def bare_per_second(self) -> float:
        return sum(done.pictures / done.seconds for done in self.bare)

    @property
    def engine_ms(self) -> float:
        return self.engine.own_cpu_ms + self.engine.children_cpu_ms

    def ratio(self, measured: Measured) -> float:
        return measured.per_second / self.bare_per_second

    def cpu_ratio(self, measured: Measured) -> float:
        bare_ms = median(done.own_cpu_ms for done in self.bare)
        return bare_ms / (measured.server_ms + measured.workers_ms + measured.harness_ms)

    def extra_ms(self, measured: Measured) -> float:
        return measured.server_ms + measured.workers_ms - self.engine_ms


def direct(count: int, *arguments: str, environment: Mapping[str, str] | None = None) -> list[Done]:
    """Start ``count`` processes of ``bench.direct``, let them go together, wait for what they measured."""
    command = [sys.executable, "-m", "bench.direct", *arguments]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(count)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [msgspec.json.decode(process.communicate()[0], type=Done) for process in started]


async def measure(load: Load, picture: Path, options: argparse.Namespace) -> Round:
    seconds = str(options.seconds)
    bare = await asyncio.to_thread(direct, BARE_PROCESSES, "bare", str(picture), seconds)
    with_placeholder = await load.run(options.jobs, options.under_way, has_placeholder=True)
    engine = await asyncio.to_thread(direct, 1, "engine", str(picture), seconds, str(options.workers))
    without = await load.run(options.jobs, options.under_way, has_placeholder=False)
    return Round(bare, engine[0], with_placeholder, without)


async def bench(options: argparse.Namespace, directory: Path) -> list[Round]:
    picture = directory / "source.jpg"
    picture.write_bytes(photo())
    print(f"source: {picture.stat().st_size / 1000:.0f} KB; {options.jobs} jobs a load, {options.under_way} under way")
    peers = Peers(picture.read_bytes())
    await peers.start()
    rounds = []
    with Daemon(Path(options.data_dir or directory) / "data", *LOOPBACK, workers=options.workers) as server:
        if options.show_pid:
            print(f"server process: {server.pid}", flush=True)
        load = Load(server.url, server.pid, peers)
        await load.run(4 * options.under_way, options.under_way, has_placeholder=True)
        for number in range(1, options.rounds + 1):
            rounds.append(await measure(load, picture, options))
            show_round(number, rounds[-1])
        await asyncio.to_thread(server.stop)
    peers.close()
    return rounds


def show_round(number: int, measured: Round) -> None:
    print(
        f"round {number}: bare {measured.bare_per_second:.0f}/s, engine"
        f" {measured.engine.pictures / measured.engine.seconds:.0f}/s;"
        f" placeholder {measured.with_placeholder.per_second:.0f}/s = {measured.ratio(measured.with_placeholder):.2f},"
        f" none {measured.without.per_second:.0f}/s = {measured.ratio(measured.without):.2f}",
        flush=True,
    )


def show(rounds: list[Round]) -> None:
    print(
        f"\nbare: {spread([r.bare_per_second for r in rounds], 0)} pictures/s by {BARE_PROCESSES} processes,", end=" "
    )
    print(f"{spread([d.own_cpu_ms for r in rounds for d in r.bare])} ms CPU each")
    parent, workers = [r.engine.own_cpu_ms for r in rounds], [r.engine.children_cpu_ms for r in rounds]
    print(f"engine called directly: CPU ms a picture: parent {spread(parent)}, workers {spread(workers)}")
    show_load("with placeholder", rounds, [r.with_placeholder for r in rounds], TARGET_WITH)
    show_load("without placeholder", rounds, [r.without for r in rounds], TARGET_WITHOUT)


def show_load(title: str, rounds: list[Round], loads: list[Measured], target: float) -> None:
    ratios = [r.ratio(m) for r, m in zip(rounds, loads, strict=True)]
    extra = [r.extra_ms(m) for r, m in zip(rounds, loads, strict=True)]
    print(f"\n{title}: {spread([m.per_second for m in loads], 0)} jobs/s")
    print(f"  ratio to bare          {spread(ratios)}, target >= {target:.2f}: {verdict(median(ratios) >= target)}")
    by_cpu = [r.cpu_ratio(m) for r, m in zip(rounds, loads, strict=True)]
    print(f"  ratio of CPU           {spread(by_cpu)}")
    print(f"  CPU ms a job           server {spread([m.server_ms for m in loads])},", end=" ")
    print(f"workers {spread([m.workers_ms for m in loads])}")
    print(f"  above the engine       {spread(extra)} ms, target <= 5: {verdict(median(extra) <= TARGET_EXTRA_MS)}")
    print(f"  source, sink, client   {spread([m.harness_ms for m in loads])} ms a job, on the same CPUs, not counted")
    print(f"  fetches a job          {spread([m.fetches_per_job for m in loads])}")
    show_latency("post to reply", [s for m in loads for s in m.accepts_s])
    show_latency("post to picture", [s for m in loads for s in m.results_s])


def show_latency(title: str, seconds: Sequence[float]) -> None:
    p50, p99 = (percentile(seconds, share) * 1000 for share in (0.50, 0.99))
    print(f"  {title:<22} p50 {p50:.0f} ms, p99 {p99:.0f} ms")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("bench.jobs", description="Jobs a second against libvips alone.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=400, help="in each load (default: %(default)s)")
    parser.add_argument("--under-way", type=int, default=16, help="jobs at once (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="render workers (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each baseline (default: %(default)s)")
    parser.add_argument("--data-dir", help="on the disk to measure (default: a temporary directory)")
    parser.add_argument("--show-pid", action="store_true", help="print the server's process id, for a profiler")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends the bench ends its server too
    with tempfile.TemporaryDirectory(prefix="imgserve-bench-") as directory:
        show(uvloop.run(bench(options, Path(directory))))


if __name__ == "__main__":
    main()
