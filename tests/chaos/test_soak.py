"""Hours of work in small: memory, descriptors and the queue's log do not grow."""

import itertools
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.gauges import Gauge, descriptors, resident_bytes
from tests.chaos.judge import ENDS, entries_of
from tests.chaos.lane import KINDS, Lane
from tests.support.daemon import wait_until
from tests.support.sizes import IS_FULL, Figures, sized, slope

SOAK_S = sized(5.0, 1800.0)
WARM_UP_S = sized(2.0, 300.0)
CALLERS = 4
PLACES_OF_A_KIND = 50
PICTURES = sized(24, 2000)  # each size has a placeholder of its own, and that is kept
KEPT_PLACEHOLDERS = min(PICTURES, 256)
POOLED_CONNECTIONS = 128 + 20  # by HTTP, and FTP sessions
LEAST_JOBS = 400  # one descriptor that each of them kept would show


def test_nothing_grows(tmp_path: Path, figures: Figures) -> None:
    numbers = itertools.count()
    with Lane(tmp_path / "lane", workers=2) as lane, ThreadPoolExecutor(CALLERS) as threads:
        places = [lane.place(kind, f"{kind}-{nth}") for nth in range(PLACES_OF_A_KIND) for kind in KINDS]
        wal = lane.daemon.data_dir / "queue.sqlite-wal"
        ends_at = time.monotonic() + SOAK_S

        def call() -> None:
            number = 0
            while time.monotonic() < ends_at or number < LEAST_JOBS:
                number = next(numbers)
                lane.accept(
                    lane.job(number % PICTURES, places[number % len(places)], f"plain/good-{number % PICTURES}.png")
                )

        def read() -> tuple[int, int, int]:
            return resident_bytes(lane.daemon.pid), descriptors(lane.daemon.pid), wal.stat().st_size

        at_rest = descriptors(lane.daemon.pid)
        with Gauge(read, sized(0.25, 5.0)) as gauge:
            for caller in [threads.submit(call) for _ in range(CALLERS)]:
                caller.result()
        jobs = next(numbers)
        wait_until(lambda: all(entry.status in ENDS for entry in entries_of(lane.daemon.data_dir)), 60, 0.2)
        ends = Counter(entry.status for entry in entries_of(lane.daemon.data_dir))
        assert set(ends) <= {"succeeded", "superseded"}, ends
        warm = [(at / 60, reading) for at, reading in gauge.readings if at > WARM_UP_S]
        growth = slope([(minute, memory / 1e6) for minute, (memory, _, _) in warm])
        half = len(warm) // 2
        early, late = (max(count for _, (_, count, _) in part) for part in (warm[:half], warm[half:]))
        assert jobs >= LEAST_JOBS
        assert max(size for _, (_, _, size) in gauge.readings) < 64_000_000
        # While they wait, jobs keep a descriptor each. Afterwards one that is not given back by each job shows.
        left = descriptors(lane.daemon.pid)
        assert left <= at_rest + KEPT_PLACEHOLDERS + POOLED_CONNECTIONS, "descriptors are not given back"
        assert max(memory for _, (memory, _, _) in warm) - warm[0][1][0] < 60_000_000
        if IS_FULL:
            assert late <= early + 30, "descriptors grow"
            assert growth < 1.0, "MB a minute"
    figures("ends", dict(ends))
    figures("memory (MB a minute)", round(growth, 2))
    figures("descriptors at rest, early, late, afterwards", (at_rest, early, late, left))
    figures("largest WAL (MB)", round(max(size for _, (_, _, size) in gauge.readings) / 1e6, 1))
