"""Picture bytes on their way: one sealed-off piece of memory with a file descriptor.

Transfers fill a blob, workers map it, deliveries read it; the bytes are never copied into Python objects on the
way. The descriptor closes with the last reference to the blob, so a blob needs no owner.

A blob that a worker reads or has written is sealed (memfd_create(2), fcntl(2)): no holder of a descriptor can change
its bytes.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable
from typing import Self

import msgspec

from imgserve import descriptors

_LENGTH = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
# Since Linux 5.1, and not known to Python 3.11. Unlike F_SEAL_WRITE it never waits for pages that another processor
# still uses (tens of milliseconds). Existing mappings may go on writing: only this process has any yet.
_FUTURE_WRITE = 0x10


class Fingerprint(msgspec.Struct, frozen=True):
    """The identity of a picture's bytes: their number and their BLAKE2b-128."""

    size_bytes: int
    digest: bytes

    @classmethod
    def of(cls, data: bytes) -> Self:
        return cls(len(data), hashlib.blake2b(data, digest_size=16).digest())


class Blob:
    """A memfd and how many of its bytes are picture.

    Readers use positions (``pread``), never the descriptor's own offset, so one blob may be read many times at once.
    """

    __slots__ = ("_is_sealed", "_on_close", "fd", "size")

    def __init__(self, *, on_close: Callable[[], None] | None = None) -> None:
        """Raises OutOfDescriptors."""
        self.fd = -1
        with descriptors.needed():
            self.fd = os.memfd_create("imgserve", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.size = 0
        self._is_sealed = False
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
        """Write after the last byte. Raises OSError when the machine has no memory left, or the blob is sealed."""
        written = os.pwritev(self.fd, chunks, self.size)
        self.size += written
        if written < sum(map(len, chunks)):
            self.append(memoryview(b"".join(chunks))[written:])

    def read(self, length: int | None = None, offset: int = 0) -> bytes:
        """Bytes from ``offset``: ``length`` of them, or all; fewer at the end."""
        wanted = self.size - offset if length is None else min(length, self.size - offset)
        return os.pread(self.fd, wanted, offset) if wanted > 0 else b""

    def copy(self, length: int) -> "Blob":
        """A blob of its own with the first ``length`` bytes, copied by the kernel. Raises OSError."""
        copy, wanted = Blob(), min(length, self.size)
        while copy.size < wanted:
            copied = os.sendfile(copy.fd, self.fd, copy.size, wanted - copy.size)
            if copied == 0:
                raise OSError(f"a blob of {self.size} bytes ends after {copy.size}")
            copy.size += copied
        return copy

    def seal(self) -> None:
        """Make the bytes immutable. For a complete blob that this process has written. Raises OSError."""
        if not self._is_sealed:
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _LENGTH | _FUTURE_WRITE)
            self._is_sealed = True

    def measure(self) -> bool:
        """Take the size of a blob that another process has written. False: it is not sealed, so its size means nothing.

        That process may have mapped it, which F_SEAL_WRITE alone rules out.
        """
        seals = fcntl.fcntl(self.fd, fcntl.F_GET_SEALS)
        self._is_sealed = seals & (_LENGTH | fcntl.F_SEAL_WRITE) == _LENGTH | fcntl.F_SEAL_WRITE
        if self._is_sealed:
            self.size = os.fstat(self.fd).st_size
        return self._is_sealed

    def __repr__(self) -> str:
        return f"Blob({self.size} bytes)"


def seal_result(descriptor: int) -> None:
    """Make the bytes immutable, in the worker that has written them. May wait. Raises OSError."""
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _LENGTH | fcntl.F_SEAL_WRITE)
