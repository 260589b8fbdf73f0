"""Sources for a worker: sealed, by read-only descriptors. Called by ``pool``."""

import os

from imgserve import descriptors
from imgserve.blob import Blob
from imgserve.imaging.faults import NoWorker


class read_only:
    """The descriptors of sources for a worker, each with an offset of its own.

    The blobs are sealed first: through /proc a worker can reopen a read-only descriptor for writing. A class, since
    each picture needs one, and a generator costs twice as much. Raises NoWorker.
    """

    __slots__ = ("_descriptors", "_sources")

    def __init__(self, *sources: Blob) -> None:
        self._sources = sources
        self._descriptors: list[int] = []

    def __enter__(self) -> list[int]:
        try:
            for source in self._sources:
                self._open(source)
        except BaseException:
            self.__exit__()
            raise
        return self._descriptors

    def _open(self, source: Blob) -> None:
        try:
            source.seal()
        except OSError as error:
            what = f"the source cannot be sealed: {error.strerror}"
            raise NoWorker(what, "use a kernel of 5.1 or newer") from error
        with descriptors.needed():
            self._descriptors.append(os.open(f"/proc/self/fd/{source.fd}", os.O_RDONLY | os.O_CLOEXEC))

    def __exit__(self, *_: object) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
