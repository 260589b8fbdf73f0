"""The log file of a detached server: it grows to a size, is renamed to ``.1``, and can be reopened for logrotate.

stdout and stderr lead to it too, so that the output of libraries is not lost. ``detach`` opens it, the thread of
``logs`` writes it. ``RotatingFileHandler`` formats each line twice, writes line by line, loses the log where it may not
rename it, and does not notice that another server has renamed it.
"""

import contextlib
import fcntl
import itertools
import os
import sys
import threading
from pathlib import Path

from imgserve.telemetry.config import LogFileConfig
from imgserve.telemetry.logs import write_all


class LogFile:
    """``write`` is for ``logs.start``, ``reopen`` for SIGHUP, after another program has renamed the file."""

    def __init__(self, config: LogFileConfig) -> None:
        """Raises OSError."""
        self._path = Path(config.file)
        self._keep = config.keep
        self._max_bytes = config.max_bytes if config.keep else 0
        self._lock = threading.Lock()
        self._descriptor = -1
        self._open()

    def write(self, data: bytes) -> None:
        """Write whole lines, all of them. Raises OSError."""
        with self._lock:
            self._follow()
            ready: list[bytes] = []
            for line in data.splitlines(keepends=True):
                if self._max_bytes and self._size_bytes and self._size_bytes + len(line) > self._max_bytes:
                    write_all(self._descriptor, b"".join(ready))
                    ready.clear()
                    self._roll_over()
                ready.append(line)
                self._size_bytes += len(line)
            write_all(self._descriptor, b"".join(ready))

    @property
    def is_shared(self) -> bool:
        """Whether another server has the file open too."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            self._share()
        return False

    def _share(self) -> None:
        with contextlib.suppress(OSError):  # not every file system has locks
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def reopen(self) -> None:
        """Raises OSError, and then keeps the open file."""
        with self._lock:
            self._open()

    def _follow(self) -> None:
        """Switch to the new file if another server, which writes to the same one, has renamed it."""
        with contextlib.suppress(OSError):
            if not os.path.samestat(self._path.stat(), os.fstat(self._descriptor)):
                self._open()
        self._size_bytes = os.fstat(self._descriptor).st_size

    def _roll_over(self) -> None:
        """Where the directory may not be written (any more), the file grows instead."""
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._keep + 1))]
        with contextlib.suppress(OSError):
            for newer, older in reversed([*itertools.pairwise(names)]):
                with contextlib.suppress(FileNotFoundError):
                    newer.rename(older)
            self._open()

    def _open(self) -> None:
        # Not readable by all users: posts and their destinations are in it.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        for standard in (sys.stdout, sys.stderr):
            standard.flush()
            os.dup2(descriptor, standard.fileno())
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._share()
        self._size_bytes = os.fstat(descriptor).st_size


def prepare(path: Path, owner: tuple[int, int] | None) -> None:
    """Create what is missing of file and directory, for ``owner`` (uid, gid). Raises OSError."""
    missing = [item for item in (path.parent, path) if not item.exists()]
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    path.touch(mode=0o640)
    if owner is not None:
        for item in missing:
            os.chown(item, *owner)
