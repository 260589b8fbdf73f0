"""A source for a worker: sealed, by a read-only descriptor. Called by ``pool``."""

import os

from imgserve import descriptors
from imgserve.blob import Blob
from imgserve.imaging.faults import NoWorker


class read_only:
    """The descriptors of a source for a worker: one with an offset of its own, or none without a source.

    The blob is sealed first: through /proc a worker can reopen a read-only descriptor for writing. A class, since each
    picture needs one, and a generator costs twice as much. Raises NoWorker.
    """

    __slots__ = ("_descriptors", "_source")

    def __init__(self, source: Blob | None) -> None:
        self._source = source
        self._descriptors: list[int] = []

    def __enter__(self) -> list[int]:
        if self._source is not None:
            try:
                self._source.seal()
            except OSError as error:
                what = f"the source cannot be sealed: {error.strerror}"
                raise NoWorker(what, "use a kernel of 5.1 or newer") from error
            with descriptors.needed():
                self._descriptors = [os.open(f"/proc/self/fd/{self._source.fd}", os.O_RDONLY | os.O_CLOEXEC)]
        return self._descriptors

    def __exit__(self, *_: object) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
