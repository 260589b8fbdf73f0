"""Named places where a test can end the server as a power cut would: exit status 137, nothing flushed, nothing closed.

Every boundary between two durable or visible effects of a job has one (the list is NAMES). Only
``server/lifecycle.py`` arms them, from a setting that exists for tests; in a server that was started normally
``reach`` compares and returns.
"""

import os
import sys
from pathlib import Path

NAMES = (
    "intake_probed", "intake_enqueued", "placeholder_locked", "placeholder_sent", "intake_released", "intake_answered",
    "claimed", "fetched", "rendered", "final_locked", "final_sent", "file_written", "settled",
    "failed_locked", "failed_sent", "failed_paid",
)  # fmt: skip

_armed: dict[str, int] = {}
_told_by: list[Path] = []


def arm(name: str, nth: int = 1) -> None:
    """End the process when ``name`` is reached for the ``nth`` time. Raises ValueError for an unknown name."""
    if name not in NAMES:
        raise ValueError(f"unknown failpoint {name!r}, expected one of {', '.join(NAMES)}")
    _armed[name] = nth


def arm_by(path: Path) -> None:
    """End the process where the file says: while it exists, it holds the name of one failpoint."""
    _told_by[:] = [path]


def reach(name: str) -> None:
    if not _armed and not _told_by:
        return
    if name in _armed:
        _armed[name] -= 1
        if _armed[name] <= 0:
            _end(name)
    if any(path.exists() and path.read_text() == name for path in _told_by):
        _end(name)


def _end(name: str) -> None:
    sys.stderr.write(f"failpoint {name}\n")
    sys.stderr.flush()
    os._exit(137)
