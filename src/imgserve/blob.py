"""Picture bytes on their way: one sealed-off piece of memory with a file descriptor.

Transfers fill a blob, workers map it, deliveries read it; the bytes are never copied into Python objects on the
way. The descriptor closes when the last reference to the blob goes, so nobody has to own it.
"""

import os
import weakref
from collections.abc import Callable
from typing import Self


class Blob:
    """A memfd and how many of its bytes are picture.

    Readers use positions (``pread``), never the descriptor's own offset, so one blob may be read many times at once.
    """

    __slots__ = ("__weakref__", "fd", "size")

    def __init__(self, *, on_close: Callable[[], None] | None = None) -> None:
        self.fd = os.memfd_create("imgserve", os.MFD_CLOEXEC)
        self.size = 0
        weakref.finalize(self, _close, self.fd, on_close)

    @classmethod
    def of(cls, data: bytes) -> Self:
        blob = cls()
        blob.append(data)
        return blob

    def append(self, data: bytes | memoryview) -> None:
        """Write behind the last byte. Raises OSError when the machine has no memory left."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self.fd, view, self.size)
            self.size += written
            view = view[written:]

    def read(self, length: int | None = None, offset: int = 0) -> bytes:
        """Bytes from ``offset``: ``length`` of them, or all; fewer at the end."""
        wanted = self.size - offset if length is None else min(length, self.size - offset)
        return os.pread(self.fd, wanted, offset) if wanted > 0 else b""

    def __repr__(self) -> str:
        return f"Blob({self.size} bytes)"


def _close(fd: int, on_close: Callable[[], None] | None) -> None:
    os.close(fd)
    if on_close is not None:
        on_close()
