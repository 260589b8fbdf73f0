"""The bytes of a large cached answer: an open, verified file, which its holder closes."""

import os
import warnings
from typing import Self

from imgserve import descriptors
from imgserve.blob import Blob

READ_BYTES = 1_048_576


class OpenBody:
    """``size`` bytes of the file behind ``fd`` from ``offset`` on, for sendfile(2) or ``read``.

    They stay when the entry is evicted, purged or replaced: the cache changes no file that has a name. One that was
    never closed is closed by the garbage collector, with a ResourceWarning.
    """

    __slots__ = ("_is_open", "fd", "offset", "size")

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self.fd, self.offset, self.size = fd, offset, size
        self._is_open = True

    def read(self, length: int | None = None, start: int = 0) -> bytes:
        """Bytes from ``start`` of the body: ``length`` of them, or all; fewer at its end. Raises OSError."""
        left = self.size - start
        wanted = left if length is None else min(length, left)
        return os.pread(self.fd, wanted, self.offset + start) if wanted > 0 else b""

    def blob(self) -> Blob:
        """A copy in memory, sealed, for a worker. Blocks. Raises OSError, OutOfDescriptors."""
        with descriptors.needed(), Blob() as blob:
            while blob.size < self.size:
                piece = self.read(READ_BYTES, blob.size)
                if not piece:
                    raise OSError(f"a cached file of {self.size} bytes ends after {blob.size}")
                blob.append(piece)
            blob.seal()
            return blob.share()

    def close(self) -> None:
        """Safe to call twice."""
        if self._is_open:
            self._is_open = False
            os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self._is_open:
            self.close()
            warnings.warn(f"{self!r} was never closed", ResourceWarning, stacklevel=2, source=self)
