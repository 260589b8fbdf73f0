"""Local files beneath the configured roots: read a source, write a result, delete. Called by ``dispatch``.

In and out: paths of file: URLs, and blobs. Nothing is opened by path outside ``beneath`` and ``roots``; only regular
files are read. All of it blocks, so all of it runs in threads; a thread that outlives its deadline is kept from
renaming.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from imgserve import descriptors
from imgserve.blob import Blob
from imgserve.descriptors import NONE_LEFT, OutOfDescriptors
from imgserve.request.destination import Destination
from imgserve.request.source import Source
from imgserve.telemetry.states import LOOK_EVERY_S, State
from imgserve.transfer.faults import (
    DeliveryFailed,
    DeliveryUnknown,
    DestinationRefused,
    SourceRefused,
    SourceTooLarge,
    SourceUnavailable,
)
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.protocols.beneath import open_beneath
from imgserve.transfer.protocols.file_write import Gate, check_ours, store
from imgserve.transfer.protocols.roots import DIRECTORY, Place, Roots
from imgserve.transfer.write import Delivery, Write

T = TypeVar("T")

OUTSIDE = "a symbolic link leads there: name a file beneath a read_root or write_root"
_CHUNK_BYTES = 1_000_000
_THREADS = 8
_LOOK_S = 10.0  # a file system that needs longer to look up a path counts as not answering
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO or device without a peer must not hold the thread
# Faults that can pass while the job waits: a full or read-only disk, a server or a machine that is away.
_CAN_HEAL = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EBUSY, errno.ETXTBSY, errno.EAGAIN, errno.EINTR,
    errno.ENOMEM, errno.ENOBUFS, errno.ENOLCK, errno.EDEADLK,
    errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.ENOLINK, errno.ECOMM, errno.EPROTO,
    errno.ETIMEDOUT, errno.ETIME, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH,
    errno.ENETRESET, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ESHUTDOWN, errno.EPIPE,
})  # fmt: skip
_RIGHT, _SPACE = "give the server's user the right to it", "free disk space there"
_REMEDIES = {
    errno.ENOENT: "check the path: a directory of it can neither be found nor made",
    errno.EACCES: _RIGHT,
    errno.EPERM: _RIGHT,
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EROFS: "mount it for writing",
    errno.ENOTDIR: "a file stands in the path where a directory is needed",
    errno.EISDIR: "it is a directory, expected a file",
    errno.ELOOP: "a symbolic link stands in the path; name what it leads to",
    errno.EIO: "mend the disk",
}


class Threads:
    """Runs blocking file work beside the event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, "imgserve-file")

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


class Files:
    """The files of this machine: sources beneath the read roots, destinations beneath the write roots."""

    def __init__(self, read_roots: Roots, write_roots: Roots) -> None:
        self._read_roots = read_roots
        self._write_roots = write_roots
        self._threads = Threads()

    def source_place(self, source: Source) -> Place:
        """Judge the path by its text. Raises SourceRefused."""
        if not self._read_roots:
            raise SourceRefused("file: sources are off", "--read-root DIR opens a directory")
        place = self._read_roots.place(source.path)
        if place is None:
            raise SourceRefused("The source file is beneath no --read-root", "--read-root DIR opens a directory")
        return place

    def destination_place(self, destination: Destination) -> Place:
        """Judge the path by its text. Raises DestinationRefused."""
        if not self._write_roots:
            raise DestinationRefused("file: destinations are off", "--write-root DIR opens a directory")
        place = self._write_roots.place(destination.path)
        if place is None:
            raise DestinationRefused("The file is beneath no --write-root", "--write-root DIR opens a directory")
        return place

    async def fetch(self, source: Source, into: Fetch, timeout_s: float) -> None:
        """Copy a regular file into ``into``. Raises SourceRefused, SourceUnavailable, SourceTooLarge."""
        place = self.source_place(source)
        gate = Gate()
        try:
            async with asyncio.timeout(timeout_s):
                size = await self._threads.run(lambda: _size(place))
            await into.reserve(size)
            async with asyncio.timeout(timeout_s):
                await self._threads.run(lambda: _copy_in(place, into, gate))
        except TimeoutError:
            raise SourceUnavailable("The source file could not be read in time", is_retryable=True) from None
        finally:
            gate.give_up()

    async def deliver(self, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """Write, sync, rename, sync. Raises DestinationRefused, DeliveryFailed, DeliveryUnknown."""
        place = self.destination_place(destination)
        gate = Gate()
        try:
            async with asyncio.timeout(write.timeout_s):
                await self._threads.run(lambda: store(place, blob, write, gate))
        except TimeoutError:
            sentence = "The destination's file system did not finish in time"
            if gate.give_up():
                raise DeliveryFailed(sentence, is_retryable=True) from None
            raise DeliveryUnknown(sentence) from None
        except OSError as error:
            raise _write_fault(error) from None
        finally:
            gate.give_up()
        return Delivery(is_verified=True)

    async def delete(self, destination: Destination, write: Write) -> None:
        """Unlink; a missing file counts as deleted. Raises DestinationRefused, DeliveryFailed, NotOurs."""
        place = self.destination_place(destination)
        try:
            async with asyncio.timeout(write.timeout_s):
                await self._threads.run(lambda: _unlink(place, write))
        except (FileNotFoundError, NotADirectoryError):
            return
        except TimeoutError:
            raise DeliveryFailed("The destination's file system did not finish in time", is_retryable=True) from None
        except OSError as error:
            raise _write_fault(error) from None

    async def real_key(self, destination: Destination) -> str:
        """The identity of this place: the real path of its directory, and its name.

        Raises DestinationRefused, DeliveryFailed.
        """
        directory, name = os.path.split(self.destination_place(destination).path)
        return f"file://{await _looked(self._threads, lambda: os.path.realpath(directory))}/{name}"

    async def is_same_file(self, source: Source, destination: Destination) -> bool:
        """The same path, or the same device and inode. Raises DeliveryFailed, SourceRefused, DestinationRefused."""
        one, other = self.source_place(source), self.destination_place(destination)
        if one.path == other.path:
            return True
        identities = await _looked(self._threads, lambda: (_identity(one), _identity(other)))
        return identities[0] is not None and identities[0] == identities[1]

    def states(self) -> Iterator[State]:
        troubles = dict.fromkeys(self._read_roots.troubles + self._write_roots.troubles)
        if troubles:
            yield State("root_unavailable", "; ".join(troubles))

    async def watch_roots(self) -> None:
        """Keep ``states`` up to date while no job comes by. Nothing wakes a server whose directory is unmounted."""
        while self._read_roots or self._write_roots:
            for roots in (self._read_roots, self._write_roots):
                await self._threads.run(roots.look)
            await asyncio.sleep(LOOK_EVERY_S)

    async def aclose(self) -> None:
        await self._threads.aclose()


async def _looked(threads: Threads, look: Callable[[], T]) -> T:
    try:
        async with asyncio.timeout(_LOOK_S):
            return await threads.run(look)
    except TimeoutError:
        raise DeliveryFailed("The destination's file system does not answer", is_retryable=True) from None


def _open_source(place: Place) -> int:
    with place.opened_root() as root:
        try:
            descriptor = open_beneath(root, place.relative, _READ)
        except OSError as error:
            raise _read_fault(error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceUnavailable("The source is not a regular file", "name a file, no directory or device")
    return descriptor


def _size(place: Place) -> int:
    descriptor = _open_source(place)
    try:
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _copy_in(place: Place, into: Fetch, gate: Gate) -> None:
    blob = into.blob
    descriptor = _open_source(place)
    try:
        while not gate.is_given_up:
            copied = os.sendfile(blob.fd, descriptor, blob.size, _CHUNK_BYTES)
            if copied == 0:
                return
            if blob.size + copied > into.limit_bytes:
                raise SourceTooLarge(f"The source is larger than {into.limit_bytes:,} bytes", "use a smaller picture")
            blob.size += copied
    finally:
        os.close(descriptor)


def _unlink(place: Place, write: Write) -> None:
    directory, _, name = place.relative.rpartition("/")
    with place.opened_root() as root:
        parent = open_beneath(root, directory, DIRECTORY)
    try:
        if write.only_over is not None:
            check_ours(parent, name, write.only_over)
        os.unlink(name, dir_fd=parent)
        os.fsync(parent)
    finally:
        os.close(parent)


def _identity(place: Place) -> tuple[int, int] | None:
    try:
        with place.opened_root() as root, descriptors.needed():
            descriptor = open_beneath(root, place.relative, os.O_PATH)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        return found.st_dev, found.st_ino
    finally:
        os.close(descriptor)


def _read_fault(error: OSError) -> SourceUnavailable | OutOfDescriptors:
    if error.errno in NONE_LEFT:
        return OutOfDescriptors()
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SourceUnavailable(
            "There is no such source file", "check its path: it begins at the root of the machine that runs the server"
        )
    if error.errno == errno.EXDEV:
        return SourceUnavailable("The source file's path leads out of its root", OUTSIDE)
    reason, remedy = _reason("The source file cannot be opened", error)
    return SourceUnavailable(reason, remedy, is_retryable=error.errno in _CAN_HEAL)


def _write_fault(error: OSError) -> DeliveryFailed | OutOfDescriptors:
    if error.errno in NONE_LEFT:
        return OutOfDescriptors()
    if error.errno == errno.EXDEV:
        return DeliveryFailed("The destination's path leads out of its root", OUTSIDE)
    reason, remedy = _reason("The destination file cannot be written", error)
    return DeliveryFailed(reason, remedy, is_retryable=error.errno in _CAN_HEAL)


def _reason(sentence: str, error: OSError) -> tuple[str, str]:
    """The sentence with the system's reason, and the remedy."""
    number = error.errno or 0
    return f"{sentence}: {os.strerror(number)}", _REMEDIES.get(number, "")
