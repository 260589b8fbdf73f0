"""Picture bytes in memory: a memfd (memfd_create(2)), and the handles by which its holders own it.

Transfers fill a blob, workers map it, deliveries read it; the bytes are never copied into Python objects on the way.
Each holder has a handle of its own and closes it: ``with blob:`` or ``close``. ``share`` makes a handle for a second
holder, such as a task or a thread that may outlive the first. The memory is freed when the last handle is closed.

A blob that a worker reads or has written is sealed (memfd_create(2), fcntl(2)): no holder of a descriptor can change
its bytes.
"""

import fcntl
import hashlib
import mmap
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Self

import msgspec

from imgserve import descriptors

_LENGTH = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
# Since Linux 5.1, and not known to Python 3.11. Unlike F_SEAL_WRITE it never waits for pages that another processor
# still uses (tens of milliseconds). Existing mappings may go on writing: only this process has any yet.
_FUTURE_WRITE = 0x10
PIECE_BYTES = 1 << 18
_MOST_CHUNKS = 1024  # IOV_MAX of Linux: one call takes no more, and fails with EINVAL


class Fingerprint(msgspec.Struct, frozen=True):
    """The identity of a picture's bytes: their number and their BLAKE2b-128."""

    size_bytes: int
    digest: bytes

    @classmethod
    def of(cls, data: bytes) -> Self:
        return cls(len(data), hashlib.blake2b(data, digest_size=16).digest())


class _Memory:
    """What all handles to the same bytes share. ``spare_handles`` has an entry for each open handle but one."""

    __slots__ = ("fd", "fingerprint", "is_sealed", "on_close", "size", "spare_handles")

    def __init__(self, on_close: Callable[[bool], None] | None) -> None:
        """Raises OutOfDescriptors."""
        with descriptors.needed():
            self.fd = os.memfd_create("imgserve", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.size = 0
        self.fingerprint: Fingerprint | None = None
        self.is_sealed = False
        # A list, because its append and pop cannot be interrupted, by another thread or by the garbage collector.
        self.spare_handles: list[None] = []
        self.on_close = on_close


class Blob:
    """A handle to a memfd, of which ``size`` bytes are picture. Handles to the same bytes are equal.

    Readers use positions (``pread``), never the descriptor's own offset, so one blob may be read many times at once.
    A handle that was never closed is closed by the garbage collector, with a ResourceWarning.
    """

    __slots__ = ("_is_open", "_memory")

    def __init__(self, *, on_close: Callable[[bool], None] | None = None) -> None:
        """``on_close`` runs after the last handle is closed, in the thread that closes it. Its argument tells whether
        that was the garbage collector, in the middle of anything. Raises OutOfDescriptors.
        """
        self._is_open = False
        self._memory = _Memory(on_close)
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._is_open:
            text = f"{self!r} was never closed"
            self._close(is_forgotten=True)
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blob) and other._memory is self._memory

    def __hash__(self) -> int:
        return hash(self._memory)

    def __repr__(self) -> str:
        return f"Blob({self.size} bytes)" if self._is_open else "Blob(closed)"

    @classmethod
    def of(cls, data: bytes) -> "Blob":
        with cls() as blob:
            blob.append(data)
            return blob.share()

    @property
    def fd(self) -> int:
        """Stays open as long as the handle. Raises ValueError when the handle is closed."""
        if not self._is_open:
            raise ValueError("the blob is closed")
        return self._memory.fd

    @property
    def size(self) -> int:
        return self._memory.size

    def share(self) -> "Blob":
        """A handle to the same bytes for another holder. Raises ValueError when this one is closed."""
        if not self._is_open:
            raise ValueError("the blob is closed")
        other = Blob.__new__(Blob)
        self._memory.spare_handles.append(None)
        other._memory, other._is_open = self._memory, True
        return other

    def close(self) -> None:
        """Safe to call twice. May be called in any thread."""
        if self._is_open:
            self._close(is_forgotten=False)

    def append(self, *chunks: bytes | memoryview) -> None:
        """Write after the last byte. Raises OSError when the machine has no memory left, or the blob is sealed."""
        memory = self._memory
        if len(chunks) > _MOST_CHUNKS:
            chunks = (b"".join(chunks),)
        written = os.pwritev(self.fd, chunks, memory.size)
        memory.size += written
        if written < sum(map(len, chunks)):
            self.append(memoryview(b"".join(chunks))[written:])

    def append_from(self, descriptor: int, length: int) -> int:
        """Have the kernel copy bytes of a file, ``length`` at most, from the offset that equals this blob's size.

        Returns their number, which is 0 at the file's end. Raises OSError.
        """
        copied = os.sendfile(self.fd, descriptor, self.size, length)
        self._memory.size += copied
        return copied

    def read(self, length: int | None = None, offset: int = 0) -> bytes:
        """Bytes from ``offset``: ``length`` of them, or all; fewer at the end."""
        wanted = self.size - offset if length is None else min(length, self.size - offset)
        return os.pread(self.fd, wanted, offset) if wanted > 0 else b""

    def fingerprint(self) -> Fingerprint:
        """Of complete bytes, computed once. Only for pictures as small as placeholders: it runs where it is called."""
        if self._memory.fingerprint is None:
            self._memory.fingerprint = Fingerprint.of(self.read())
        return self._memory.fingerprint

    def mapped(self) -> mmap.mmap:
        """Complete bytes for reading, without a copy. The mapping outlives this handle. Raises OSError."""
        return mmap.mmap(self.fd, self.size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)

    def pieces(self, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from ``begin`` to ``end`` or the last one, for a reader that needs them once and in order.

        A mapping costs as much CPU, and all of its pages count as this process's meanwhile.
        """
        end = self.size if end is None else end
        for offset in range(begin, end, PIECE_BYTES):
            yield self.read(min(PIECE_BYTES, end - offset), offset)

    def copy(self, length: int) -> "Blob":
        """A blob of its own with the first ``length`` bytes. Raises OSError."""
        wanted = min(length, self.size)
        with Blob() as copy:
            while copy.size < wanted:
                if copy.append_from(self.fd, wanted - copy.size) == 0:
                    raise OSError(f"a blob of {self.size} bytes ends after {copy.size}")
            return copy.share()

    def seal(self) -> None:
        """Make the bytes immutable. For a complete blob that this process has written. Raises OSError."""
        if not self._memory.is_sealed:
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _LENGTH | _FUTURE_WRITE)
            self._memory.is_sealed = True

    def measure(self) -> bool:
        """Take the size of a blob that another process has written. False: it is not sealed, so its size means nothing.

        That process may have mapped it, which F_SEAL_WRITE alone rules out.
        """
        seals = fcntl.fcntl(self.fd, fcntl.F_GET_SEALS)
        self._memory.is_sealed = seals & (_LENGTH | fcntl.F_SEAL_WRITE) == _LENGTH | fcntl.F_SEAL_WRITE
        if self._memory.is_sealed:
            self._memory.size = os.fstat(self.fd).st_size
        return self._memory.is_sealed

    def _close(self, *, is_forgotten: bool) -> None:
        self._is_open = False
        memory = self._memory
        try:
            memory.spare_handles.pop()
        except IndexError:  # it was the last one
            os.close(memory.fd)
            if memory.on_close is not None:
                memory.on_close(is_forgotten)


def seal_result(descriptor: int) -> None:
    """Make the bytes immutable, in the worker that has written them. May wait. Raises OSError."""
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _LENGTH | fcntl.F_SEAL_WRITE)
