"""The machine: descriptors and memory. Called by ``report``.

Limits are those of this command's own process; a server that systemd or a container runtime starts may have others.
"""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from imgserve.cli.check.finding import Finding, ok, warning
from imgserve.settings.tree import Settings

FEW_DESCRIPTORS = 4096
# The most that one worker took in 7,810 files of nine public corpora: 472 MB. The server itself: about 60 MB.
WORKER_BYTES, SERVER_BYTES = 500_000_000, 100_000_000
MB = 1_000_000


def limits(settings: Settings) -> Iterator[Finding]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = "no limit" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    if hard != resource.RLIM_INFINITY and hard < FEW_DESCRIPTORS:
        hint = f"ulimit -Hn {FEW_DESCRIPTORS}, or LimitNOFILE= in the unit"
        yield warning("open files", f"{limit}: connections and kept pictures need one each", hint)
    else:
        yield ok("open files", limit)
    yield _memory(settings)


def _memory(settings: Settings) -> Finding:
    workers = settings.pool.workers + 2  # the intake worker, and the memory of the workers that stand ready
    limit = settings.pool.memory_limit_bytes
    needed = SERVER_BYTES + settings.transfer.memory_bytes + workers * min(WORKER_BYTES, limit)
    memory = min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *control_group_bytes()])
    detail = f"{memory // MB:,} MB; {workers} workers may map {limit // MB:,} MB each"
    if memory < needed:
        hint = f"fewer workers, less worker_memory_bytes or source_memory_bytes, or {needed // MB:,} MB"
        return warning("memory", f"{detail}: the kernel may end workers that have large pictures", hint)
    return ok("memory", detail)


def control_group_bytes(root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """The limits of this process's control groups, version 2 or 1, up to the root (cgroups(7))."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "memory" if controllers else root
        place = top / name.lstrip("/")
        for group in (place, *place.parents):
            if not group.is_relative_to(top):
                break
            for file in ("memory.max", "memory.limit_in_bytes"):
                text = (group / file).read_text().strip() if (group / file).is_file() else "max"
                if text != "max":
                    yield int(text)
