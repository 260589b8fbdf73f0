"""How soon a POST is answered, how many a second and at once, and their memory; method and caveats in README.md here.

    python -m bench.accept [--rounds N] [--posts N] [--accepts N] [--at-once N] [--jobs N | --soak] [--data-dir DIR]

Latency is compared with a bare script that does the same probe and placeholder PUT, in turns with it.
"""

import argparse
import asyncio
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import uvloop
from bench import client, processes
from bench.figures import percentile, slope, spread, verdict
from bench.load import Load
from bench.peers import Peers
from bench.picture import RESULT_HEIGHT_PX, RESULT_WIDTH_PX, photo
from tests.support.daemon import LOOPBACK, Daemon

from imgserve.imaging.config import Config
from imgserve.imaging.messages import Drawing
from imgserve.imaging.pool import Pool
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits

TARGET_RATIO, TARGET_IDLE_MB = 3.0, 160.0
CLIENTS, TARGET_ACCEPTS, SMALL_PX = 64, 1000, (320, 240)
SOAK_JOBS = 20_000
SAMPLES = 20
UNDER_WAY = 16
NOT_NOW, ACCEPTED = 301, 202
PAUSE_S = 0.02
_SETTLE_S = 2.0
_SWITCHES = {"max_waiting": 1_000_000}  # for the jobs of tomorrow


async def placeholder() -> bytes:
    """The very bytes that imgserve puts there, drawn once, for the bare script to send."""
    pool = Pool(Config(workers=1), Limits())
    await pool.start()
    size = Size(RESULT_WIDTH_PX, RESULT_HEIGHT_PX)
    drawn = await pool.draw(Drawing(size, "jpeg", "#9a9a9a", "Image being processed"))
    await pool.aclose()
    return drawn.read()


async def one_client(server: Daemon, peers: Peers, directory: Path, options: argparse.Namespace) -> None:
    """One post at a time: first each waits for the picture of the one before, then none does."""
    load = Load(server.url, server.pid, peers)
    (directory / "placeholder.jpg").write_bytes(await placeholder())
    await load.run(options.posts, 1, has_placeholder=True, pause_s=PAUSE_S)
    ratios: dict[str, list[float]] = {"header": [], "whole": []}
    bare_ms: dict[str, list[float]] = {"header": [], "whole": []}
    ours_s: list[float] = []
    for _ in range(options.rounds):
        bare = await asyncio.to_thread(probe, peers, directory / "placeholder.jpg", options.posts)
        measured = (await load.run(options.posts, 1, has_placeholder=True, pause_s=PAUSE_S)).accepts_s
        ours_s += measured
        for kind, seconds in bare.items():
            bare_ms[kind].append(median(seconds) * 1000)
            ratios[kind].append(median(measured) / median(seconds))
    print(f"one client, {options.rounds} rounds of {options.posts} posts,", end=" ")
    print(f"each {PAUSE_S * 1000:.0f} ms after the picture of the one before")
    print(f"  post to reply            p50 {percentile(ours_s, 0.5) * 1000:.1f}, p99", end=" ")
    print(f"{percentile(ours_s, 0.99) * 1000:.1f} ms")
    is_met = median(ratios["whole"]) <= TARGET_RATIO
    print(f"  bare, whole source       p50 {spread(bare_ms['whole'], 1)} ms; ratio {spread(ratios['whole'])},", end=" ")
    print(f"target <= {TARGET_RATIO:g}: {verdict(is_met)}")
    print(f"  bare, cut behind header  p50 {spread(bare_ms['header'], 1)} ms; ratio {spread(ratios['header'])}")
    no_wait = await post_without_waiting(server, peers, options.posts)
    print(f"  not waiting for pictures p50 {percentile(no_wait, 0.5) * 1000:.1f}, p99", end=" ")
    print(f"{percentile(no_wait, 0.99) * 1000:.1f} ms (renders share the CPUs)", flush=True)


def probe(peers: Peers, placeholder_path: Path, count: int) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "bench.probe", str(placeholder_path)]
    command += [f"http://127.0.0.1:{peers.source_port}/source.jpg", f"http://127.0.0.1:{peers.sink_port}", str(count)]
    measured: dict[str, list[float]] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return measured


async def post_without_waiting(server: Daemon, peers: Peers, posts: int) -> list[float]:
    connection = await client.connect(server.url)
    done = Arrivals(peers, posts)
    seconds = []
    for number in range(posts):
        job = client.job(peers.source_port, peers.sink_port, f"/hasty/{number}.jpg", has_placeholder=True)
        started = time.monotonic()
        assert (await connection.post(job)).is_accepted
        seconds.append(time.monotonic() - started)
    connection.close()
    await done.wait()
    return seconds


async def many_clients(server: Daemon, peers: Peers, options: argparse.Namespace) -> None:
    """Jobs without a placeholder that begin tomorrow, so that nothing but their acceptance is measured."""
    peers.add("small", photo(*SMALL_PX), "image/jpeg")
    begins_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    numbers = itertools.count()
    seconds: list[float] = []

    def job() -> bytes:
        path = f"{next(numbers)}.jpg"
        resize = {"operation": "resize", "width": RESULT_WIDTH_PX, "height": RESULT_HEIGHT_PX}
        place = f"http://127.0.0.1:{peers.sink_port}/later/{path}"
        rendering = {"operations": [resize], "destination": place, "placeholder": "none"}
        source = f"http://127.0.0.1:{peers.source_port}/small/{path}"
        return json.dumps({"source": source, "outputs": [rendering], "not_before": begins_at}).encode()

    async def post(connection: client.Connection, count: int) -> None:
        for _ in range(count):
            started = time.monotonic()
            reply = await connection.ask("/v1/jobs", job(), "Content-Type: application/json\r\n")
            assert reply.status == ACCEPTED, reply
            seconds.append(time.monotonic() - started)

    connections = [await client.connect(server.url) for _ in range(CLIENTS)]
    rates, server_ms, workers_ms = [], [], []
    for number in range(options.rounds + 1):
        seconds.clear()
        started = time.monotonic()
        count = options.accepts // CLIENTS
        posting = asyncio.gather(*(post(connection, count) for connection in connections))
        used = await processes.cpu_during(posting, server.pid)
        if number:  # the first one warms up
            rates.append(len(seconds) / (time.monotonic() - started))
            server_ms.append(used.own_s * 1000 / len(seconds))
            workers_ms.append(used.children_s * 1000 / len(seconds))
    for connection in connections:
        connection.close()
    print(f"{CLIENTS} clients, jobs without placeholder for tomorrow: {spread(rates, 0)} accepts/s,", end=" ")
    print(f"target >= {TARGET_ACCEPTS}: {verdict(median(rates) >= TARGET_ACCEPTS)}")
    print(f"  CPU ms of an accept: server {spread(server_ms)}, workers {spread(workers_ms)};", end=" ")
    times = f"p50 {percentile(seconds, 0.5) * 1000:.0f}, p99 {percentile(seconds, 0.99) * 1000:.0f}"
    print(f"post to reply {times} ms", flush=True)


class Arrivals:
    """Counts the finals that arrive."""

    def __init__(self, peers: Peers, wanted: int) -> None:
        self._left = wanted
        self._all = asyncio.Event()
        peers.on_final = self._heard

    def _heard(self, _path: str) -> None:
        self._left -= 1
        if self._left <= 0:
            self._all.set()

    async def wait(self, timeout_s: float = 300.0) -> None:
        await asyncio.wait_for(self._all.wait(), timeout_s)


async def all_at_once(server: Daemon, peers: Peers, posts: int) -> None:
    """Every post on a connection of its own, at the same moment."""

    async def post(number: int) -> tuple[str, float]:
        started = time.monotonic()
        try:
            connection = await client.connect(server.url)
            job = client.job(peers.source_port, peers.sink_port, f"/crowd/{number}.jpg", has_placeholder=True)
            reply = await connection.post(job)
            connection.close()
        except (client.HungUp, OSError) as error:
            return type(error).__name__, time.monotonic() - started
        code = "accepted" if reply.is_accepted else str(json.loads(reply.body).get("code"))
        return code, time.monotonic() - started

    started = time.monotonic()
    answers = await asyncio.gather(*(post(number) for number in range(posts)))
    seconds = time.monotonic() - started
    codes = Counter(code for code, _ in answers)
    is_met = codes.keys() <= {"accepted", str(NOT_NOW)}
    print(f"{posts} posts at once: {dict(codes)} in {seconds:.1f} s,", end=" ")
    times = [took for _, took in answers]
    print(f"p50 {percentile(times, 0.5):.1f}, p99 {percentile(times, 0.99):.1f} s;", end=" ")
    print(f"all answered, {NOT_NOW} the only error: {verdict(is_met)}")
    waiting = codes["accepted"] - sum(path.startswith("/crowd/") for path in peers.finals)
    if waiting > 0:
        await Arrivals(peers, waiting).wait()
    took = time.monotonic() - started
    print(f"  and every accepted job's picture was there after {took:.1f} s", flush=True)


async def memory(server: Daemon, peers: Peers, jobs: int) -> None:
    """PSS of the process tree after each twentieth of the jobs; the slope is that of the second half."""
    load = Load(server.url, server.pid, peers)
    done, total_mb, server_mb = [0], [processes.tree_pss_mb(server.pid)], [processes.pss_mb(server.pid)]
    for _ in range(SAMPLES):
        await load.run(jobs // SAMPLES, UNDER_WAY, has_placeholder=True)
        done.append(done[-1] + jobs // SAMPLES)
        total_mb.append(processes.tree_pss_mb(server.pid))
        server_mb.append(processes.pss_mb(server.pid))
    print(f"PSS over {done[-1]} jobs, MB after each {jobs // SAMPLES}:", end=" ")
    print(" ".join(f"{mb:.0f}" for mb in total_mb))
    print("  of it the server process:", " ".join(f"{mb:.0f}" for mb in server_mb))
    half = len(done) // 2
    whole, own = slope(done[half:], total_mb[half:]) * 1000, slope(done[half:], server_mb[half:]) * 1000
    print(f"  slope of the second half: {whole:+.2f} MB per 1,000 jobs, the server process {own:+.2f}", flush=True)


async def bench(options: argparse.Namespace, directory: Path) -> None:
    picture = photo()
    peers = Peers(picture)
    await peers.start()
    print(f"source: {len(picture) / 1000:.0f} KB; {options.workers} render workers")
    with Daemon(
        Path(options.data_dir or directory) / "data", *LOOPBACK, workers=options.workers, switches=_SWITCHES
    ) as server:
        await asyncio.sleep(_SETTLE_S)
        idle_mb = processes.tree_pss_mb(server.pid)
        each = " ".join(f"{processes.pss_mb(pid):.0f}" for pid in processes.children(server.pid))
        print(f"idle: {idle_mb:.0f} MB PSS (server {processes.pss_mb(server.pid):.0f}, workers {each}),", end=" ")
        print(f"target <= {TARGET_IDLE_MB:.0f}: {verdict(idle_mb <= TARGET_IDLE_MB)}", flush=True)
        await one_client(server, peers, directory, options)
        await many_clients(server, peers, options)
        await all_at_once(server, peers, options.at_once)
        await memory(server, peers, SOAK_JOBS if options.soak else options.jobs)
        await asyncio.to_thread(server.stop)
    peers.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("bench.accept", description="Replies and memory.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--posts", type=int, default=100, help="by the one client in each round (default: %(default)s)")
    parser.add_argument("--accepts", type=int, default=2000, help="by 64 clients in a round (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=1000, help="concurrent posts (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2000, help="of the memory bench (default: %(default)s)")
    parser.add_argument("--soak", action="store_true", help=f"{SOAK_JOBS} jobs in the memory bench")
    parser.add_argument("--workers", type=int, default=2, help="render workers (default: %(default)s)")
    parser.add_argument("--data-dir", help="on the disk to measure (default: a temporary directory)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends the bench ends its server too
    with tempfile.TemporaryDirectory(prefix="imgserve-bench-") as directory:
        uvloop.run(bench(options, Path(directory)))


if __name__ == "__main__":
    main()
