"""Reads a small file at once, where the kernel has its path and its bytes in memory. For ``file``, on the event loop.

To hand a file to a thread and back takes as long as to read it. No call here waits for a disk: openat2(2) opens only
what needs no look at the file system (RESOLVE_CACHED, kernel 5.12), and preadv2(2) reads only pages that are in memory
(RWF_NOWAIT). Network file systems do not promise the second, so they are never read here: a thread that reads a file
tries it first (``learn``), and what it has found holds for a second, and until something is mounted.
"""

import os
import stat
from pathlib import Path

from imgserve.transfer.protocols.beneath import CURRENT, open_cached
from imgserve.transfer.protocols.roots import RootedPath

# A file of this size takes 0.4 ms, and no longer one the next connection's turn.
MOST_BYTES = 1_000_000
_DIRECTORY = os.O_PATH | os.O_DIRECTORY


class AtOnce:
    """``flags`` open a file. Its one buffer is for the event loop."""

    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._buffer = bytearray()

    def learn(self, path: RootedPath, descriptor: int) -> None:
        """Whether the file system of this open file can say that it would have to wait. In a thread.

        A file of another one than the root's, to which a symbolic link has led, tells nothing of its directory.
        """
        try:
            if os.fstat(descriptor).st_dev != Path(path.root.path).stat().st_dev:
                return
            os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            pass
        except OSError:
            return
        path.root.found_quick(path.directory)

    def read(self, path: RootedPath, most_bytes: int) -> tuple[memoryview, os.stat_result] | None:
        """All bytes of a regular file, until the next call, and its state. None: a thread has to read it."""
        if not path.root.is_quick(path.directory):
            return None
        root = open_cached(CURRENT, path.root.path, _DIRECTORY)
        if root < 0:
            return None
        try:
            file = open_cached(root, path.relative, self._flags, is_beneath=True)
            if file < 0:
                return None
            try:
                return self._read(file, most_bytes)
            except OSError:
                return None
            finally:
                os.close(file)
        finally:
            os.close(root)

    def _read(self, file: int, most_bytes: int) -> tuple[memoryview, os.stat_result] | None:
        before = os.fstat(file)
        size = before.st_size
        if not stat.S_ISREG(before.st_mode) or not 0 < size <= most_bytes:
            return None
        if not self._buffer:
            self._buffer = bytearray(MOST_BYTES)
        data = memoryview(self._buffer)[:size]
        if os.preadv(file, [data], 0, os.RWF_NOWAIT) < size:
            return None
        after = os.fstat(file)
        # Somebody has written into it meanwhile.
        if (before.st_mtime_ns, before.st_ctime_ns, size) != (after.st_mtime_ns, after.st_ctime_ns, after.st_size):
            return None
        return data, after
