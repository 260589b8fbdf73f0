"""Local files beneath the configured roots: read a source, write a result, delete. Called by ``dispatch``.

File operations block, so they run in threads. ``beneath`` and ``roots`` open every path.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from imgserve import descriptors
from imgserve.blob import Blob, Fingerprint
from imgserve.descriptors import NONE_LEFT, OutOfDescriptors
from imgserve.errors import cause_of
from imgserve.request.destination import Destination
from imgserve.request.source import Source
from imgserve.telemetry.states import LOOK_EVERY_S, State
from imgserve.transfer.faults import (
    DeliveryFailed,
    DeliveryUnknown,
    DestinationRefused,
    SourceNotFound,
    SourceRefused,
    SourceUnavailable,
)
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.protocols import at_once, copying
from imgserve.transfer.protocols.beneath import open_beneath
from imgserve.transfer.protocols.file_write import delete, fingerprint_of, size_of, store
from imgserve.transfer.protocols.roots import RootedPath, Roots
from imgserve.transfer.version import Version
from imgserve.transfer.write import Delivery, Write

T = TypeVar("T")

_THREADS = 8
# A file system that takes longer to look up a path counts as hung.
_LOOKUP_S = 10.0
# Opening a FIFO or a device must not block the thread.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
# Errors that can pass while the job waits: a full or read-only disk, a server or a machine that is away.
_TRANSIENT = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EBUSY, errno.ETXTBSY, errno.EAGAIN, errno.EINTR,
    errno.ENOMEM, errno.ENOBUFS, errno.ENOLCK, errno.EDEADLK,
    errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.ENOLINK, errno.ECOMM, errno.EPROTO,
    errno.ETIMEDOUT, errno.ETIME, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH,
    errno.ENETRESET, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ESHUTDOWN, errno.EPIPE,
})  # fmt: skip


class Files:
    """The files of this machine: sources beneath the read roots, destinations beneath the write roots."""

    def __init__(self, read_roots: tuple[str, ...], write_roots: tuple[str, ...]) -> None:
        """Raises RootUnavailable."""
        self.read_roots = Roots(read_roots, "--read-root", SourceRefused)
        self.write_roots = Roots(write_roots, "--write-root", DestinationRefused)
        self._pool = ThreadPoolExecutor(_THREADS, "imgserve-file")
        self._at_once = at_once.AtOnce(_READ)

    async def fetch(self, source: Source, into: Fetch, timeout_s: float, _principal: str = "") -> None:
        """Copy a regular file into ``into``.

        Raises SourceRefused, SourceNotFound, SourceUnavailable, SourceTooLarge.
        """
        path = self.read_roots.locate(source.path)
        try:
            await copying.copy(self._pool, lambda: self._opened(path), into, timeout_s)
        except TimeoutError:
            raise _late() from None

    def read_at_once(self, source: Source, most_bytes: int) -> tuple[memoryview, Version] | None:
        """A small regular file, if that needs no wait for a disk: its bytes, until the next call. None: ``fetch`` it.

        Raises SourceRefused.
        """
        read = self._at_once.read(self.read_roots.locate(source.path), min(most_bytes, at_once.MOST_BYTES))
        return None if read is None else (read[0], copying.version_in(read[1]))

    @contextmanager
    def _opened(self, path: RootedPath) -> Iterator[int]:
        """As ``_open_source``."""
        with _open_source(path) as descriptor:
            self._at_once.learn(path, descriptor)
            yield descriptor

    async def version_of(self, source: Source) -> Version:
        """Of a regular file, without its bytes. Raises SourceRefused, SourceNotFound, SourceUnavailable."""
        path = self.read_roots.locate(source.path)
        try:
            async with asyncio.timeout(_LOOKUP_S):
                return await self._run(lambda: copying.version_of(lambda: _open_source(path)))
        except TimeoutError:
            raise _late() from None

    async def deliver(self, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """Write, sync, rename, sync. Raises DestinationRefused, DeliveryFailed, DeliveryUnknown."""
        path, renaming, own = self.write_roots.locate(destination.path), Future[None](), blob.share()
        await self._timed(write.timeout_s, renaming, lambda: store(path, own, write, renaming), own)
        return Delivery(is_verified=True)

    async def delete(self, destination: Destination, write: Write) -> None:
        """Unlink; a missing file counts as deleted. Raises DestinationRefused, DeliveryFailed, NotOurs."""
        path = self.write_roots.locate(destination.path)
        await self._timed(write.timeout_s, Future(), lambda: delete(path, write))

    async def size_of(self, destination: Destination, write: Write) -> int | None:
        """The size of the regular file there, 0 of anything else; None if nothing is there.

        Raises DestinationRefused, DeliveryFailed.
        """
        path = self.write_roots.locate(destination.path)
        return await self._timed(write.timeout_s, Future(), lambda: size_of(path))

    async def fingerprint_of(self, destination: Destination, timeout_s: float) -> Fingerprint | None:
        """Of the regular file there; None if there is none. Raises DestinationRefused, DeliveryFailed."""
        path = self.write_roots.locate(destination.path)
        return await self._timed(timeout_s, Future(), lambda: fingerprint_of(path))

    async def real_key(self, destination: Destination) -> str:
        """The identity of a destination: the real path of its directory, and its name.

        Raises DestinationRefused, DeliveryFailed.
        """
        directory, name = os.path.split(self.write_roots.locate(destination.path).path)
        return f"file://{await self._timed(_LOOKUP_S, Future(), lambda: os.path.realpath(directory))}/{name}"

    async def is_same_file(self, source: Source, destination: Destination) -> bool:
        """The same path, or the same device and inode. Raises DeliveryFailed, SourceRefused, DestinationRefused."""
        one, other = self.read_roots.locate(source.path), self.write_roots.locate(destination.path)
        return one.path == other.path or await self._timed(_LOOKUP_S, Future(), lambda: _is_same_file(one, other))

    def states(self) -> Iterator[State]:
        troubles = dict.fromkeys(self.read_roots.troubles + self.write_roots.troubles)
        if troubles:
            yield State("root_unavailable", "; ".join(troubles))

    async def watch_roots(self) -> None:
        """Keep ``states`` up to date while no job runs. The kernel does not tell of unmounted directories."""
        while self.read_roots or self.write_roots:
            await self._run(self.read_roots.look)
            await self._run(self.write_roots.look)
            await asyncio.sleep(LOOK_EVERY_S)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    async def _run(self, work: Callable[[], T], blob: Blob | None = None) -> T:
        """``blob`` is closed when the work ends, which may be after a cancelled wait."""
        result = self._pool.submit(work)
        if blob is not None:
            result.add_done_callback(lambda _: blob.close())
        return await asyncio.wrap_future(result)

    async def _timed(
        self, timeout_s: float, renaming: Future[None], work: Callable[[], T], blob: Blob | None = None
    ) -> T:
        """Run work on a destination. A thread that has not started ``renaming`` in time leaves the file as it is."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._run(work, blob)
        except TimeoutError:
            fault = DeliveryFailed if renaming.cancel() else DeliveryUnknown
            raise fault("The destination's file system did not answer in time", is_retryable=True) from None
        except OSError as error:
            raise _fault(DeliveryFailed, "The destination file cannot be written", error) from None
        finally:
            renaming.cancel()


@contextmanager
def _open_source(path: RootedPath) -> Iterator[int]:
    """Raises SourceNotFound, SourceUnavailable, RootUnavailable, OutOfDescriptors."""
    try:
        with path.open_root() as root, open_beneath(root, path.relative, _READ) as descriptor:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SourceUnavailable("The source is not a regular file", "name a file, no directory or device")
            yield descriptor
    except (FileNotFoundError, NotADirectoryError):
        hint = "check its path: it begins at the root of the machine that runs the server"
        raise SourceNotFound("There is no such source file", hint) from None
    except OSError as error:
        raise _fault(SourceUnavailable, "The source file cannot be read", error) from None


def _late() -> SourceUnavailable:
    error = SourceUnavailable("The source file could not be read in time", is_retryable=True)
    error.is_late = True
    return error


def _is_same_file(one: RootedPath, other: RootedPath) -> bool:
    identity = _identity(one)
    return identity is not None and identity == _identity(other)


def _identity(path: RootedPath) -> tuple[int, int] | None:
    """Device and inode; None for a file that cannot be opened."""
    with (
        suppress(OSError),
        path.open_root() as root,
        descriptors.needed(),
        open_beneath(root, path.relative, os.O_PATH) as descriptor,
    ):
        status = os.fstat(descriptor)
        return status.st_dev, status.st_ino
    return None


def _fault(
    kind: type[SourceUnavailable | DeliveryFailed], sentence: str, error: OSError
) -> SourceUnavailable | DeliveryFailed | OutOfDescriptors:
    if error.errno in NONE_LEFT:
        return OutOfDescriptors()
    if error.errno == errno.EXDEV:
        cause, remedy = "its path leads out of its root", "name the file itself, beneath a read_root or write_root"
    else:
        cause, remedy = cause_of(error, "the server's user")
    return kind(f"{sentence}: {cause}", remedy, is_retryable=error.errno in _TRANSIENT)
