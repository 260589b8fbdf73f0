"""Which file systems are mounted where, as proc(5) tells it. Called by ``roots`` in any thread; blocking."""

import os
import re
import select
import threading

from imgserve import descriptors

_OCTAL = re.compile(rb"\\([0-7]{3})")
_CHANGED = select.POLLPRI | select.POLLERR
_READ_BYTES = 1 << 16


class Mounts:
    """Of this process's mount namespace. They are read anew when the kernel says that one has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._fd = -1
        self._points: frozenset[str] | None = None

    def points(self) -> frozenset[str]:
        """The same object until something is mounted or unmounted. Raises OSError, OutOfDescriptors."""
        with self._lock:
            if self._fd < 0:
                with descriptors.needed():
                    self._fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
                self._poll.register(self._fd, _CHANGED)
            # The kernel tells each change once: one that comes while it is read is told by the next poll.
            if self._poll.poll(0):
                self._points = None
            if self._points is None:
                self._points = self._read()
            return self._points

    def _read(self) -> frozenset[str]:
        """The fifth word of each line, in which blanks are octal numbers."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        pieces = []
        while piece := os.read(self._fd, _READ_BYTES):
            pieces.append(piece)
        lines = b"".join(pieces).splitlines()
        return frozenset(
            os.fsdecode(_OCTAL.sub(lambda octal: bytes((int(octal[1], 8),)), line.split(b" ", 5)[4])) for line in lines
        )


MOUNTS = Mounts()
