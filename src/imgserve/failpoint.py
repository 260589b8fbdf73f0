"""Named points where a test can end the server as a power cut would: exit status 137, nothing flushed, nothing closed.
Or freeze it there, as a paused virtual machine is.

There is one between any two durable or visible effects of a job, and between the steps of the cache on its disk. Only
``server/lifecycle.py`` arms them, from a setting that exists for tests; otherwise ``reach`` compares and returns.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Literal, get_args

Name = Literal[
    "upload_written", "intake_probed", "intake_enqueued", "placeholder_locked", "placeholder_sent", "intake_released",
    "intake_answered",
    "claimed", "fetched", "rendered", "final_locked", "final_sent", "file_written", "settled",
    "failed_locked", "failed_sent", "failed_paid", "webhook_sent", "webhook_settled",
    "cache_created", "cache_half_written", "cache_written", "cache_renamed", "cache_noted",
    "cache_purge_recorded", "cache_purge_removing", "cache_purge_removed", "cache_evicting", "cache_evicted",
]  # fmt: skip
NAMES: tuple[Name, ...] = get_args(Name)

_armed: dict[str, int] = {}
_files: list[Path] = []


def arm(name: str, nth: int = 1) -> None:
    """End the process when ``name`` is reached for the ``nth`` time."""
    _armed[name] = nth


def arm_by(path: Path) -> None:
    """End the process at the failpoint that the file names, while it exists. "stop at NAME" sends it SIGSTOP there."""
    _files[:] = [path]


def reach(name: str) -> None:
    if name in _armed:
        _armed[name] -= 1
        if _armed[name] <= 0:
            _end(name)
    for file in _files:
        order = _order(file)
        if order == name:
            _end(name)
        if order == f"stop at {name}":
            os.kill(os.getpid(), signal.SIGSTOP)


def _order(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def _end(name: str) -> None:
    sys.stderr.write(f"failpoint {name}\n")
    sys.stderr.flush()
    os._exit(137)
