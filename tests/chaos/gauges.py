"""What a process of this machine uses, read from /proc."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, Self, TypeVar

T = TypeVar("T")


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
