"""Picture bytes on their way: one sealed-off piece of memory with a file descriptor.

Transfers fill a blob, workers map it, deliveries read it; the bytes are never copied into Python objects on the
way. The descriptor closes when the last reference to the blob goes, so nobody has to own it.
"""

import os
from collections.abc import Callable
from typing import Self


class Blob:
    """A memfd and how many of its bytes are picture.

    Readers use positions (``pread``), never the descriptor's own offset, so one blob may be read many times at once.
    """

    __slots__ = ("_on_close", "fd", "size")

    def __init__(self, *, on_close: Callable[[], None] | None = None) -> None:
        self.fd = -1
        self.fd = os.memfd_create("imgserve", os.MFD_CLOEXEC)
        self.size = 0
        self._on_close = on_close

    def __del__(self) -> None:
        if self.fd < 0:
            return
        os.close(self.fd)
        if self._on_close is not None:
            self._on_close()

    @classmethod
    def of(cls, data: bytes) -> Self:
        blob = cls()
        blob.append(data)
        return blob

    def append(self, *chunks: bytes | memoryview) -> None:
        """Write behind the last byte. Raises OSError when the machine has no memory left."""
        written = os.pwritev(self.fd, chunks, self.size)
        self.size += written
        if written < sum(map(len, chunks)):
            self.append(memoryview(b"".join(chunks))[written:])

    def read(self, length: int | None = None, offset: int = 0) -> bytes:
        """Bytes from ``offset``: ``length`` of them, or all; fewer at the end."""
        wanted = self.size - offset if length is None else min(length, self.size - offset)
        return os.pread(self.fd, wanted, offset) if wanted > 0 else b""

    def __repr__(self) -> str:
        return f"Blob({self.size} bytes)"
