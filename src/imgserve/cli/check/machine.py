"""The machine: descriptors, memory, clock. Called by ``report``.

Limits are those of this command's own process; a server that systemd or a container runtime starts may have others.
"""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from imgserve.cli.check.finding import Finding, ok, warning
from imgserve.settings.tree import Settings

FEW_DESCRIPTORS = 4096
# The most that one worker took in 7,810 files of nine public corpora: 472 MB. The server itself: about 60 MB.
WORKER_BYTES, SERVER_BYTES = 500_000_000, 100_000_000
AHEAD_S = 60.0
MB = 1_000_000


def limits(settings: Settings) -> Iterator[Finding]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    said = "no limit" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    if hard != resource.RLIM_INFINITY and hard < FEW_DESCRIPTORS:
        hint = f"ulimit -Hn {FEW_DESCRIPTORS}, or LimitNOFILE= in the unit"
        yield warning("open files", f"{said}: connections and kept pictures need one each", hint)
    else:
        yield ok("open files", said)
    yield _memory(settings)


def _memory(settings: Settings) -> Finding:
    workers = settings.pool.workers + 2  # the intake worker, and the memory of the workers that stand ready
    needed = (
        SERVER_BYTES + settings.transfer.memory_bytes + workers * min(WORKER_BYTES, settings.pool.memory_limit_bytes)
    )
    there = min([_machine_bytes(), *control_group_bytes()])
    said = f"{there // MB:,} MB; {workers} workers may map {settings.pool.memory_limit_bytes // MB:,} MB each"
    if there < needed:
        hint = f"fewer workers, less worker_memory_bytes or source_memory_bytes, or {needed // MB:,} MB"
        return warning("memory", f"{said}: large pictures at once may be ended by the kernel", hint)
    return ok("memory", said)


def _machine_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def control_group_bytes(root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """The limits of this process's control groups, version 2 or 1, up to the root (cgroups(7))."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        top = root if not controllers else root / "memory"
        if controllers and "memory" not in controllers.split(","):
            continue
        place = top / name.lstrip("/")
        for one in (place, *place.parents):
            for file in ("memory.max", "memory.limit_in_bytes"):
                text = (one / file).read_text().strip() if (one / file).is_file() else "max"
                if text != "max":
                    yield int(text)
            if one == top:
                break


def clock(data_dir: Path) -> Finding:
    now = time.time()
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    written = max(_written(data_dir), default=now)
    if written > now + AHEAD_S:
        hint = "set the clock, by NTP for example: leases, retries and certificates count on it"
        return warning("clock", f"{shown} is {written - now:.0f} s before the queue was last written", hint)
    return ok("clock", shown)


def _written(data_dir: Path) -> Iterator[float]:
    """When the queue was written; nothing for a user who may not see it, which ``storage`` tells."""
    with suppress(OSError):
        for path in data_dir.glob("queue.sqlite*"):
            yield path.stat().st_mtime
