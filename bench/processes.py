"""What the kernel says of processes: CPU time and memory, of one or of a whole tree. Linux only (/proc)."""

import os
from pathlib import Path
from typing import NamedTuple

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


class Cpu(NamedTuple):
    """CPU seconds so far. ``children_s`` counts what lives below, and children that have been waited for.

    Workers that a template has forked are waited for by nobody: what one had used is not counted once it has ended.
    """

    own_s: float
    children_s: float

    def since(self, before: "Cpu") -> "Cpu":
        return Cpu(self.own_s - before.own_s, self.children_s - before.children_s)


def cpu(pid: int) -> Cpu:
    """Of a process and all below it. Ticks of 10 ms: measure over seconds."""
    own, reaped = _times(pid)
    return Cpu(own, reaped + sum(sum(cpu(child)) for child in children(pid)))


def children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for tasks in lists for child in tasks.read_text().split())


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
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    fields = stat.rpartition(")")[2].split()
    user, system, child_user, child_system = (int(field) for field in fields[11:15])
    return (user + system) * _TICK_S, (child_user + child_system) * _TICK_S
