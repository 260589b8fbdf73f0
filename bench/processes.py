"""What the kernel says of processes: CPU time and memory, of one or of a whole tree. Linux only (/proc)."""

import asyncio
import os
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_READ_EVERY_S = 0.1  # a process that ends takes along what it used since; a reading takes a millisecond
# User and system time of the process, and of the children it has waited for, in ``_fields``.
_OWN, _REAPED, _START = slice(11, 13), slice(13, 15), 19


class Cpu(NamedTuple):
    """CPU seconds so far. ``children_s`` counts what lives below, and children that have been waited for."""

    own_s: float
    children_s: float

    def since(self, before: "Cpu") -> "Cpu":
        return Cpu(self.own_s - before.own_s, self.children_s - before.children_s)


def cpu(pid: int) -> Cpu:
    """Of a process and all below it. Ticks of 10 ms: measure over seconds."""
    own, reaped = _times(pid)
    return Cpu(own, reaped + sum(sum(cpu(child)) for child in children(pid)))


async def cpu_during(work: Awaitable[object], pid: int) -> Cpu:
    """Of a process and all below it, until ``work`` is done, which may outlast workers of a server's."""
    meter = Meter(pid)
    before, reading = meter.read(), asyncio.create_task(_keep_reading(meter))
    try:
        await work
    finally:
        reading.cancel()
    return meter.read().since(before)


async def _keep_reading(meter: "Meter") -> None:
    while True:
        await asyncio.sleep(_READ_EVERY_S)
        meter.read()


class Meter:
    """Reads the CPU of a process and all below it. One that has ended counts as it was read last.

    Workers that a template has forked are waited for by nobody, so that ``cpu`` loses what they had used.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._used_s: dict[tuple[int, str], float] = {}  # by pid and start

    def read(self) -> Cpu:
        own_s = self._look(self._pid)
        return Cpu(own_s, sum(self._used_s.values()) - own_s)

    def _look(self, pid: int) -> float:
        used_s = 0.0
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = _fields(pid)
            self._used_s[pid, fields[_START]] = used_s = sum(map(int, fields[_OWN])) * _TICK_S
            for child in children(pid):
                self._look(child)
        return used_s


def children(pid: int) -> list[int]:
    """Started by any of its threads; those that end at this moment have none."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (task / "children").read_text().split())
    return sorted(found)


def tree_pss_mb(pid: int) -> float:
    """Proportional set size of the process and everything below it, in MB (10^6 bytes)."""
    return pss_mb(pid) + sum(tree_pss_mb(child) for child in children(pid))


def pss_mb(pid: int) -> float:
    """Pages shared by n processes count 1/n for each. 0 for one that has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def _times(pid: int) -> tuple[float, float]:
    try:
        fields = _fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    return sum(map(int, fields[_OWN])) * _TICK_S, sum(map(int, fields[_REAPED])) * _TICK_S


def _fields(pid: int) -> list[str]:
    """Of proc(5)'s stat, from the third on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
