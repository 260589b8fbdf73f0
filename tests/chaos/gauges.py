"""What a process of this machine uses, read from /proc."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Generic, Self, TypeVar

T = TypeVar("T")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float | None:
    """CPU seconds of the process so far, which other work on the machine does not lengthen; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(fields[11]) + int(fields[12])) * TICK_S


class Spent:
    """CPU seconds of processes since it was made; one that ends counts with what ``look`` saw last."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._before = {pid: cpu_s(pid) or 0.0 for pid in pids}
        self._latest = dict(self._before)

    def look(self) -> None:
        for pid in self._before:
            self._latest[pid] = cpu_s(pid) or self._latest[pid]

    @property
    def most_s(self) -> float:
        """Of the one that used most."""
        return max(self._latest[pid] - before for pid, before in self._before.items())

    def users(self, least_s: float) -> list[int]:
        """Those that have used so much."""
        return [pid for pid, before in self._before.items() if self._latest[pid] - before >= least_s]


def resident_bytes(pid: int) -> int:
    """Its share of memory; pages that several processes have count in parts."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def memory(pid: int, field: str) -> int:
    """Of /proc/PID/status, in bytes; 0 for a process that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line for line in status.splitlines() if line.startswith(field)]
    return int(found[0].split()[1]) * 1024 if found else 0


def picture_bytes(pid: int) -> int:
    """Memory in blobs, which no other figure shows as long as they are not mapped."""
    blobs: dict[int, int] = {}
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if "memfd:imgserve" in str(entry.readlink()):
                    stat = entry.stat()
                    blobs[stat.st_ino] = stat.st_blocks * 512
    return sum(blobs.values())


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


class Gauge(Generic[T]):
    """``with Gauge(read, every_s) as gauge``: readings with the seconds since the start."""

    def __init__(self, read: Callable[[], T], every_s: float) -> None:
        self._read = read
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.readings: list[tuple[float, T]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        started = time.monotonic()
        while not self._stop.wait(self._every_s):
            with suppress(OSError):
                self.readings.append((time.monotonic() - started, self._read()))
