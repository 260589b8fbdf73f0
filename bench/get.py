"""GET on the fly: hits against nginx with the same file, and misses against libvips alone.

    python -m bench.get hits   [--rounds N] [--clients N] [--seconds S]
    python -m bench.get misses [--rounds N] [--clients N] [--pictures N]

Hits: a server with its workers, or nginx with one process, on one processor, and wrk (of the system's packages) on the
others. The picture is one that imgserve renders, some 20 KB; nginx has it as a file. Misses: the dialect of imgproxy, a
2 MP JPEG fitted into 512 x 512, each picture for the first time, against two bare processes that call
``thumbnail_buffer`` with malloc's thresholds set. The ratio is made within a round, the median is the figure.
"""

import argparse
import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import uvloop
from bench import client, processes
from bench.figures import percentile, spread, verdict
from bench.jobs import BARE_PROCESSES, direct
from bench.picture import photo
from bench.render import MALLOC
from tests.support.daemon import Daemon

HIT_TARGET, HITS_A_SECOND, MISS_TARGET = 0.35, 15_000, 0.9
# About 20 KB of this picture.
HIT = "/_/rs:fit:420:420/plain/0.jpg"
BOX_PX = 512
_REQUESTS = re.compile(r"Requests/sec:\s+([\d.]+)")
_NGINX = """
{user}daemon off;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=100;
    default_type image/jpeg;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


class Misses(NamedTuple):
    per_second: float
    server_ms: float
    workers_ms: float
    seconds: list[float]


def settings(directory: Path) -> Path:
    """A mount at the root whose sources are the files in ``directory``."""
    path = directory.parent / "imgserve.toml"
    url = f"file://{directory}/"
    path.write_text(
        f'read_root = ["{directory}"]\n[get.imgproxy]\npath = "/"\nallow_unsigned = true\n'
        f'sources = ["{url}"]\nbase_url = "{url}"\n'
    )
    return path


def hits(options: argparse.Namespace) -> int:
    """Prints requests a second of both, and CPU of the server's process for a hit."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    ratios, rates = [], []
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        sources = top / "sources"
        sources.mkdir()
        (sources / "0.jpg").write_bytes(photo())
        server = Daemon(top / "data", "--config", str(settings(sources)), before=("taskset", "-c", "0"))
        with server:
            picture = asyncio.run(_get(server.url, HIT))
            root = top / "root"
            root.mkdir()
            (root / "hit.jpg").write_bytes(picture)
            with _nginx(top, root) as front:
                for number in range(1, options.rounds + 1):
                    nginx = _wrk(f"{front}/hit.jpg", options)
                    before = processes.cpu(server.pid)
                    own = _wrk(server.url + HIT, options)
                    used_us = processes.cpu(server.pid).since(before).own_s / (own * options.seconds) * 1e6
                    ratios.append(own / nginx)
                    rates.append(own)
                    told = f"imgserve {own:,.0f}/s, {used_us:.0f} us of CPU a hit; nginx {nginx:,.0f}/s"
                    print(f"round {number}: {len(picture):,} bytes; {told}; ratio {ratios[-1]:.2f}", flush=True)
    is_met = median(ratios) >= HIT_TARGET or median(rates) >= HITS_A_SECOND
    print(f"hits {median(rates):,.0f}/s, ratio to nginx {spread(ratios)}")
    print(f"target >= {HITS_A_SECOND:,}/s or {HIT_TARGET}: {verdict(is_met)}")
    return 0


def _wrk(url: str, options: argparse.Namespace) -> float:
    """Requests a second, from the other processors. Raises RuntimeError: not all of them were answered well."""
    others = ",".join(str(number) for number in sorted(os.sched_getaffinity(0)) if number) or "0"
    command = ["taskset", "-c", others, "wrk", "-t1", f"-c{options.clients}", f"-d{options.seconds:.0f}s", url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    match = _REQUESTS.search(output)
    if match is None or "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    return float(match[1])


@contextmanager
def _nginx(top: Path, root: Path) -> Iterator[str]:
    """Its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    user = "user root;\n" if os.geteuid() == 0 else ""  # else its process cannot enter the directory
    (top / "nginx.conf").write_text(_NGINX.format(user=user, work=top, port=port, root=root))
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        raise SystemExit("nginx is not installed: apt-get install nginx")
    command = ["taskset", "-c", "0", program, "-c", str(top / "nginx.conf"), "-p", str(top)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            ends_at = time.monotonic() + 20
            while time.monotonic() < ends_at:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def _get(url: str, target: str) -> bytes:
    connection = await client.connect(url)
    reply = await connection.get(target)
    connection.close()
    if reply.status != 200:
        raise RuntimeError(f"{reply.status} {reply.body[:300]!r}")
    return reply.body


async def misses(options: argparse.Namespace) -> int:
    ratios, cpu_ratios = [], []
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        sources, original = top / "sources", top / "picture.jpg"
        sources.mkdir()
        original.write_bytes(photo())
        for number in range(options.pictures * options.rounds + options.clients):
            (sources / f"{number}.jpg").hardlink_to(original)
        with Daemon(top / "data", "--config", str(settings(sources)), workers=os.cpu_count() or 1) as server:
            numbers = iter(range(10**9))
            for number in range(1, options.rounds + 1):
                arguments = ("bare", str(original), "5", str(BOX_PX))
                bare = await asyncio.to_thread(direct, BARE_PROCESSES, *arguments, environment={**os.environ, **MALLOC})
                measured = await _missed(server, numbers, options)
                bare_per_second = sum(done.pictures / done.seconds for done in bare)
                bare_ms = median(done.own_cpu_ms for done in bare)
                ratios.append(measured.per_second / bare_per_second)
                cpu_ratios.append(bare_ms / (measured.server_ms + measured.workers_ms))
                print(
                    f"round {number}: bare {bare_per_second:.0f}/s, {bare_ms:.2f} ms CPU; misses"
                    f" {measured.per_second:.0f}/s, CPU of server {measured.server_ms:.2f} ms, of workers"
                    f" {measured.workers_ms:.2f}; median {median(measured.seconds) * 1000:.0f} ms, p95"
                    f" {percentile(measured.seconds, 0.95) * 1000:.0f}; ratio {ratios[-1]:.2f}",
                    flush=True,
                )
    print(f"misses, {options.clients} clients: ratio to bare {spread(ratios)}, target >= {MISS_TARGET}:", end=" ")
    print(verdict(median(ratios) >= MISS_TARGET))
    print(f"ratio of CPU {spread(cpu_ratios)}")
    return 0


async def _missed(server: Daemon, numbers: Iterator[int], options: argparse.Namespace) -> Misses:
    """Each picture is asked for once; the first ones only warm up."""
    connections = [await client.connect(server.url) for _ in range(options.clients)]
    taken: list[float] = []

    async def ask(connection: client.Connection, count: int) -> None:
        for _ in range(count):
            started = time.monotonic()
            reply = await connection.get(f"/_/rs:fit:{BOX_PX}:{BOX_PX}/plain/{next(numbers)}.jpg")
            if reply.status != 200:
                raise RuntimeError(f"{reply.status} {reply.body[:300]!r}")
            taken.append(time.monotonic() - started)

    each = options.pictures // options.clients - 1
    await asyncio.gather(*(ask(connection, 1) for connection in connections))
    taken.clear()
    started = time.monotonic()
    used = await processes.cpu_during(
        asyncio.gather(*(ask(connection, each) for connection in connections)), server.pid
    )
    passed = time.monotonic() - started
    for connection in connections:
        connection.close()
    count = len(taken)
    return Misses(count / passed, used.own_s * 1000 / count, used.children_s * 1000 / count, taken)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.get")
    parser.add_argument("what", choices=["hits", "misses"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pictures", type=int, default=400, help="of a round of misses (default: %(default)s)")
    options = parser.parse_args(arguments)
    return hits(options) if options.what == "hits" else uvloop.run(misses(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
