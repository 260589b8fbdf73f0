"""A source as a worker gets it: sealed, by a descriptor that only reads. For ``pool``."""

import os

from imgserve import descriptors
from imgserve.blob import Blob
from imgserve.imaging.faults import NoWorker


class read_only:
    """A descriptor for a worker, with an offset of its own. The blob is sealed first.

    Through /proc a worker can reopen a read-only descriptor for writing, so the descriptor alone protects nothing.
    A class, since each picture needs one, and a generator costs twice as much. Raises NoWorker.
    """

    __slots__ = ("_descriptor", "_source")

    def __init__(self, source: Blob) -> None:
        self._source = source

    def __enter__(self) -> int:
        try:
            self._source.seal()
        except OSError as error:
            raise NoWorker(f"the source cannot be sealed: {error.strerror}", "use a kernel of 5.1 or newer") from error
        with descriptors.needed():
            self._descriptor = os.open(f"/proc/self/fd/{self._source.fd}", os.O_RDONLY | os.O_CLOEXEC)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
