"""The cache with a million entries: start, rebuild of the index, purge, memory; and what a hit costs.

python -m bench.cache [--entries N] [--body BYTES] [--directory DIR]

The entries are written once; each line is a process of its own on them. See README.md beside this.
"""

import argparse
import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from bench.figures import percentile

from imgserve.engine.cache.cache import Cache
from imgserve.engine.cache.entry import Header, Key, Meta
from imgserve.engine.cache.purge import OfPrefix, OfSource
from imgserve.engine.cache.store import Store

CAP_BYTES = 10**12
RENDITIONS = 10
PREFIX = "https://shop.example.com/7"


def key_of(number: int) -> Key:
    """Of so many sources on some pages, each in several sizes."""
    source, size = divmod(number, RENDITIONS)
    return Key(f"https://shop.example.com/{source % 97}/products/{source:07}.jpg", f"w:{100 * size}", "webp", "bench")


def meta_of() -> Meta:
    now_s = time.time()
    return Meta("image/webp", '"abcdefghijklmnopqrst"', now_s, now_s + 3600, now_s + 7200, now_s + 7200)


def fill(directory: Path, entries: int, body_bytes: int) -> None:
    """As a server writes them, but in one thread and without an index."""
    store, body, meta = Store(directory), random.Random(1).randbytes(body_bytes), meta_of()
    store.open()
    began = time.perf_counter()
    for number in range(entries):
        store.write(Header(key_of(number), meta), body, meta.stored_at_s, lambda: True)
    store.close()
    (directory / "purges.json").write_text('{"epoch":1,"records":[]}')
    spent = time.perf_counter() - began
    print(f"write: {entries} entries of {body_bytes} bytes in {spent:.0f} s, {spent / entries * 1e6:.0f} us each")


def resident_mb(field: str = "VmRSS") -> float:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


async def until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.005)


def lose_index(directory: Path) -> None:
    for file in directory.glob("index.sqlite*"):
        file.unlink()


def index_mb(directory: Path) -> float:
    return sum(file.stat().st_size for file in directory.glob("index.sqlite*")) / 1e6


def is_settled(cache: Cache) -> bool:
    return cache.stats().is_whole and cache.stats().purging == 0 and cache.upkeep.is_idle


async def opened(directory: Path, cap_bytes: int = CAP_BYTES) -> tuple[Cache, float]:
    """A cache, and the seconds until its first hit."""
    began = time.perf_counter()
    cache = Cache("bench", directory, cap_bytes, memory_bytes=0)
    await cache.open()
    number = 1
    while await cache.find(key_of(number)) is None:  # an earlier part has deleted some
        number += 1
    return cache, time.perf_counter() - began


async def rebuild(directory: Path, _entries: int) -> None:
    lose_index(directory)
    forget_peak()
    before, began, cpu = resident_mb(), time.perf_counter(), time.process_time()
    cache, first_s = await opened(directory)
    waits, hits = [], 0
    while not is_settled(cache):
        at = time.perf_counter()
        hits += await cache.find(key_of(random.randrange(10_000))) is not None
        waits.append(time.perf_counter() - at)
        await asyncio.sleep(0.002)
    spent, cpu = time.perf_counter() - began, time.process_time() - cpu
    stats = cache.stats()
    print(f"index lost: first hit after {first_s * 1000:.0f} ms; whole after {spent:.1f} s (CPU {cpu:.1f} s)")
    print(f"  it knows {stats.entries} entries, {stats.size_bytes / 1e6:.0f} MB")
    middle, slow = percentile(waits, 0.5) * 1000, percentile(waits, 0.99) * 1000
    print(f"  {hits} disk hits meanwhile: median {middle:.2f} ms, p99 {slow:.2f} ms")
    print(f"  memory: +{resident_mb('VmHWM') - before:.0f} MB at most, +{resident_mb() - before:.0f} MB at the end")
    await cache.close()
    print(f"  the index takes {index_mb(directory):.0f} MB")


async def start(directory: Path, _entries: int) -> None:
    forget_peak()
    before = resident_mb()
    cache, first_s = await opened(directory)
    began = time.perf_counter()
    await until(lambda: is_settled(cache))
    print(
        f"start with its index: first hit after {first_s * 1000:.0f} ms, the index {time.perf_counter() - began:.2f} s "
        f"later; memory +{resident_mb('VmHWM') - before:.0f} MB at most"
    )
    began = time.perf_counter()
    removed = await cache.purge(OfSource(key_of(500).source))
    print(f"purge of a source: {removed} entries in {(time.perf_counter() - began) * 1000:.1f} ms")
    await cache.close()


async def killed(directory: Path, _entries: int) -> None:
    """The index is there, but its server did not close it."""
    (directory / "index.whole").unlink()
    cache, first_s = await opened(directory)
    began = time.perf_counter()
    await until(lambda: is_settled(cache))
    print(
        f"start after a kill: first hit after {first_s * 1000:.0f} ms, whole after {time.perf_counter() - began:.1f} s"
    )
    await cache.close()


async def purge(directory: Path, _entries: int) -> None:
    """Of a prefix, in the moment in which the index is lost."""
    lose_index(directory)
    victim = next(number for number in range(10_000) if key_of(number).source.startswith(PREFIX))
    forget_peak()
    before = resident_mb()
    cache, _ = await opened(directory)
    began = time.perf_counter()
    await cache.purge(OfPrefix(PREFIX))
    spent = time.perf_counter() - began
    assert await cache.find(key_of(victim)) is None
    await until(lambda: is_settled(cache))
    gone_s = time.perf_counter() - began
    print(f"index lost, purge of a prefix: in force after {spent * 1000:.0f} ms, deleted after {gone_s:.1f} s")
    print(f"  memory: +{resident_mb('VmHWM') - before:.0f} MB at most")
    await cache.close()


async def cap(directory: Path, _entries: int) -> None:
    """The index is lost, and the cap is half of what is there."""
    cache, _ = await opened(directory)
    await until(lambda: is_settled(cache))
    size = cache.stats().size_bytes
    await cache.close()
    lose_index(directory)
    forget_peak()
    before, began, cpu = resident_mb(), time.perf_counter(), time.process_time()
    cache, _ = await opened(directory, size // 2)
    await until(lambda: is_settled(cache))
    stats = cache.stats()
    assert stats.size_bytes <= size // 2
    spent, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"index lost, twice the cap: right again after {spent:.1f} s (CPU {cpu:.1f} s), {stats.evicted} evicted")
    print(f"  memory: +{resident_mb('VmHWM') - before:.0f} MB at most")
    await cache.close()


async def hits(directory: Path, entries: int) -> None:
    """CPU of one entry of 20 KB, in a directory of its own."""
    body, rounds = random.Random(1).randbytes(20_000), min(entries, 5000)
    cache = Cache("bench", directory.with_name("hits"), CAP_BYTES, 400_000_000)
    await cache.open()
    keys, meta = [key_of(number) for number in range(rounds)], meta_of()
    began, cpu = time.perf_counter(), time.process_time()
    for key in keys:
        with cache.begin(key) as work:
            cache.store(work, body, meta)
        await cache.written()
    print(f"store: {per(cpu, rounds)} us of CPU, {(time.perf_counter() - began) / rounds * 1e6:.0f} us each")
    cpu = time.process_time()
    for key in keys:
        assert cache.look_up(key) is not None
    print(f"hit in memory: {per(cpu, rounds)} us of CPU")
    await cache.close()
    cache = Cache("bench", directory.with_name("hits"), CAP_BYTES, 0)
    await cache.open()
    began, cpu = time.perf_counter(), time.process_time()
    for key in keys:
        assert await cache.find(key) is not None
    print(f"hit on the disk: {per(cpu, rounds)} us of CPU, {(time.perf_counter() - began) / rounds * 1e6:.0f} us each")
    await cache.close()


def per(cpu: float, count: int) -> str:
    return f"{(time.process_time() - cpu) / count * 1e6:.1f}"


PARTS: dict[str, Callable[[Path, int], Coroutine[None, None, None]]] = {
    "hits": hits, "rebuild": rebuild, "start": start, "killed": killed, "purge": purge, "cap": cap,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cache", description="A cache with very many entries.")
    parser.add_argument("--entries", type=int, default=1_000_000, help="(default: %(default)s)")
    parser.add_argument("--body", type=int, default=2000, help="bytes of each (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="on the disk that matters (default: a temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave the entries there, and use those that are there")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        asyncio.run(PARTS[options.part](options.directory, options.entries))
        return
    home = options.directory or Path(tempfile.mkdtemp(prefix="imgserve-bench-"))
    try:
        if not (home / "cache").exists():
            fill(home / "cache", options.entries, options.body)
        for part in options.only or PARTS:
            here = ["--directory", str(home / "cache"), "--entries", str(options.entries)]
            subprocess.run([sys.executable, "-m", "bench.cache", "--part", part, *here], check=True, env=os.environ)
    finally:
        if not options.keep:
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
