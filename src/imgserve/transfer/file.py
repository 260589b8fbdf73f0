"""Local files beneath the configured roots: read a source, write a result, delete. Called by ``dispatch``.

In and out: paths of file: URLs, and blobs. Nothing is opened by path outside ``beneath``; only regular files are
read. A write goes to a temporary name in its directory, is synced, renamed over the target, and the directory
synced. All of it blocks, so all of it runs in threads; a thread that outlives its deadline is kept from renaming.
"""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import msgspec

from imgserve import failpoint
from imgserve.blob import Blob
from imgserve.transfer.beneath import open_beneath
from imgserve.transfer.faults import DeliveryFailed, DeliveryUnknown, SourceTooLarge, SourceUnavailable
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.write import Delivery, Write

T = TypeVar("T")

_CHUNK_BYTES = 1_000_000
_THREADS = 8
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO or device without a peer must not hold the thread
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_CAN_HEAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBUSY, errno.ESTALE, errno.EMFILE, errno.ENFILE})


class Place(msgspec.Struct, frozen=True):
    """A path beneath a root: the root's descriptor, the path relative to it, and both joined."""

    root: int
    relative: str
    path: str


class Roots:
    """The directories that file: URLs may reach into, held open."""

    def __init__(self, directories: tuple[str, ...]) -> None:
        """Raises OSError when a directory cannot be opened."""
        self._open: dict[str, int] = {}
        for directory in sorted(directories, key=len, reverse=True):
            path = os.path.abspath(directory)  # noqa: PTH100 - Path.absolute leaves ".." in, and no path matches it
            self._open[path] = os.open(path, os.O_PATH | _DIRECTORY | os.O_CLOEXEC)

    def __bool__(self) -> bool:
        return bool(self._open)

    def place(self, path: str) -> Place | None:
        """An absolute path, decoded, judged by its text; None when it is beneath no root or not a plain path."""
        if "\0" in path or any(part in (".", "..") for part in path.split("/")):
            return None
        plain = os.path.normpath("/" + path.lstrip("/"))
        for directory, root in self._open.items():
            prefix = directory.rstrip("/") + "/"
            if plain.startswith(prefix):
                return Place(root, plain.removeprefix(prefix), plain)
        return None

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])


class Threads:
    """Runs blocking file work beside the event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, "imgserve-file")

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


class Gate:
    """Decides between a thread that is about to rename and a caller who gives up: whoever comes first wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_given_up = False
        self._is_through = False

    @property
    def is_given_up(self) -> bool:
        return self._is_given_up

    def pass_through(self) -> bool:
        """By the thread, before the step that shows. False: leave everything as it is."""
        with self._lock:
            self._is_through = not self._is_given_up
            return self._is_through

    def give_up(self) -> bool:
        """By the caller. False: too late, the step may have been taken."""
        with self._lock:
            self._is_given_up = True
            return not self._is_through


async def fetch(threads: Threads, place: Place, into: Fetch, timeout_s: float) -> None:
    """Copy a regular file into ``into``. Raises SourceUnavailable, SourceTooLarge."""
    gate = Gate()
    size = await threads.run(lambda: _size(place))
    await into.reserve(size)
    try:
        async with asyncio.timeout(timeout_s):
            await threads.run(lambda: _copy_in(place, into, gate))
    except TimeoutError:
        raise SourceUnavailable("The source file could not be read in time", is_retryable=True) from None
    finally:
        gate.give_up()


async def deliver(threads: Threads, place: Place, blob: Blob, write: Write) -> Delivery:
    """Write, sync, rename, sync. Raises DeliveryFailed, DeliveryUnknown."""
    gate = Gate()
    try:
        async with asyncio.timeout(write.timeout_s):
            await threads.run(lambda: _store(place, blob, write, gate))
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


async def delete(threads: Threads, place: Place, timeout_s: float) -> None:
    """Unlink; what is not there counts as deleted. Raises DeliveryFailed."""
    try:
        async with asyncio.timeout(timeout_s):
            await threads.run(lambda: _unlink(place))
    except (FileNotFoundError, NotADirectoryError):
        return
    except TimeoutError:
        raise DeliveryFailed("The destination's file system did not finish in time", is_retryable=True) from None
    except OSError as error:
        raise _write_fault(error) from None


async def real_key(threads: Threads, place: Place) -> str:
    """What tells this place from others: the real path of its directory, and its name."""
    directory, name = os.path.split(place.path)
    return f"file://{await threads.run(lambda: os.path.realpath(directory))}/{name}"


async def is_same_file(threads: Threads, one: Place, other: Place) -> bool:
    """The same path, or the same device and inode."""
    if one.path == other.path:
        return True
    identities = await threads.run(lambda: (_identity(one), _identity(other)))
    return identities[0] is not None and identities[0] == identities[1]


def _open_source(place: Place) -> int:
    try:
        descriptor = open_beneath(place.root, place.relative, _READ)
    except OSError as error:
        raise _read_fault(error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceUnavailable("The source is not a regular file")
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
                raise SourceTooLarge(f"The source is larger than {into.limit_bytes} bytes")
            blob.size += copied
    finally:
        os.close(descriptor)


def _store(place: Place, blob: Blob, write: Write, gate: Gate) -> None:
    directory, _, name = place.relative.rpartition("/")
    parent = _directory(place.root, directory)
    try:
        for leftover in (*write.leftover_names, write.temporary_name):
            with suppress(FileNotFoundError):
                os.unlink(leftover, dir_fd=parent)
        try:
            _fill(parent, write.temporary_name, blob)
            failpoint.reach("file_written")
            if not gate.pass_through():
                raise TimeoutError
            os.rename(write.temporary_name, name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError:
            with suppress(OSError):
                os.unlink(write.temporary_name, dir_fd=parent)
            raise
        os.fsync(parent)
    finally:
        os.close(parent)


def _fill(parent: int, name: str, blob: Blob) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o666, dir_fd=parent)
    try:
        position = 0
        while position < blob.size:
            position += os.sendfile(descriptor, blob.fd, position, blob.size - position)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _directory(root: int, relative: str) -> int:
    """The directory, made if missing; each one made is synced into its parent. The caller owns the descriptor."""
    try:
        return open_beneath(root, relative, _DIRECTORY)
    except FileNotFoundError:
        above, _, name = relative.rpartition("/")
    parent = _directory(root, above)
    try:
        with suppress(FileExistsError):
            os.mkdir(name, 0o777, dir_fd=parent)
        os.fsync(parent)
    finally:
        os.close(parent)
    return open_beneath(root, relative, _DIRECTORY)


def _unlink(place: Place) -> None:
    directory, _, name = place.relative.rpartition("/")
    parent = open_beneath(place.root, directory, _DIRECTORY)
    try:
        os.unlink(name, dir_fd=parent)
        os.fsync(parent)
    finally:
        os.close(parent)


def _identity(place: Place) -> tuple[int, int] | None:
    try:
        descriptor = open_beneath(place.root, place.relative, os.O_PATH)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        return found.st_dev, found.st_ino
    finally:
        os.close(descriptor)


def _read_fault(error: OSError) -> SourceUnavailable:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SourceUnavailable("There is no such source file")
    if error.errno == errno.EXDEV:
        return SourceUnavailable("The source file's path leads out of its root")
    return SourceUnavailable(_reason("The source file cannot be opened", error), is_retryable=_heals(error))


def _write_fault(error: OSError) -> DeliveryFailed:
    if error.errno == errno.EXDEV:
        return DeliveryFailed("The destination's path leads out of its root")
    return DeliveryFailed(_reason("The destination file cannot be written", error), is_retryable=_heals(error))


def _heals(error: OSError) -> bool:
    return error.errno in _CAN_HEAL


def _reason(sentence: str, error: OSError) -> str:
    return f"{sentence}: {os.strerror(error.errno or 0)}"
