"""Uploaded pictures: files of the server's own in its data directory, from their receipt until their jobs need them no
more. Called by ``dispatch`` for sources, and by ``engine/uploads``, which decides how long each one is kept.

File operations block, so they run in threads. A file's name is an id of the server's: no word of a request is part of
a path.
"""

import asyncio
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from imgserve import descriptors, failpoint
from imgserve.errors import cause_of
from imgserve.request.source import Source, upload_id_of
from imgserve.transfer.faults import SourceLost, SourceUnavailable, UploadNotStored
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.protocols import copying
from imgserve.transfer.uploads import NextChunk, Written

T = TypeVar("T")

_THREADS = 4
# Bytes that are written at once: few enough for a slow disk to answer soon, enough for threads to be cheap.
_BATCH_BYTES = 1_000_000
_ID = re.compile(r"[0-9a-f]{32}")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Uploaded:
    """The files in ``directory``, which is made when the first one comes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pool = ThreadPoolExecutor(_THREADS, "imgserve-upload")

    async def receive(self, upload_id: str, next_chunk: NextChunk) -> Written:
        """Write the chunks, until one is empty, to a new file, synced with its directory entry. Leaves none when it
        fails.

        Raises UploadNotStored, OutOfDescriptors, and as ``next_chunk`` does.
        """
        with _storing():
            file = await self._run(lambda: _NewFile(self._directory, upload_id))
        is_whole = False
        try:
            batch, size = list[bytes](), 0
            while chunk := await next_chunk():
                batch.append(chunk)
                size += len(chunk)
                if size >= _BATCH_BYTES:
                    await self._write(file, batch)
                    batch, size = [], 0
            await self._write(file, batch)
            with _storing():
                written = await self._run(file.finish)
            failpoint.reach("upload_written")
            is_whole = True
            return written
        finally:
            if not is_whole:
                self._pool.submit(file.discard)

    async def fetch(self, source: Source, into: Fetch, timeout_s: float, _principal: str = "") -> None:
        """Copy the picture into ``into``. Raises SourceLost, SourceUnavailable, SourceTooLarge."""
        path = self._path(upload_id_of(source))
        try:
            await copying.copy(self._pool, lambda: _opened(path), into, timeout_s)
        except TimeoutError:
            raise SourceUnavailable("The uploaded picture could not be read in time", is_retryable=True) from None

    async def remove(self, *upload_ids: str) -> None:
        """Delete these files; a missing one counts as deleted, as does an id that is none. Raises UploadNotStored."""
        paths = [self._directory / upload_id for upload_id in upload_ids if _ID.fullmatch(upload_id)]

        def unlink() -> None:
            for path in paths:
                path.unlink(missing_ok=True)

        with _storing():
            await self._run(unlink)

    async def orphans(self, known: frozenset[str]) -> frozenset[str]:
        """Ids of files, whole or not, that are not ``known``. Raises UploadNotStored."""
        with _storing():
            return await self._run(self._ids) - known

    async def aclose(self) -> None:
        await asyncio.to_thread(self._pool.shutdown)

    def _ids(self) -> frozenset[str]:
        with suppress(FileNotFoundError), os.scandir(self._directory) as entries:
            return frozenset(entry.name for entry in entries if _ID.fullmatch(entry.name))
        return frozenset()

    def _path(self, upload_id: str) -> Path:
        """Raises SourceLost for what is no id of ours, which a damaged row may hold."""
        if not _ID.fullmatch(upload_id):
            raise SourceLost("The stored job names no uploaded picture")
        return self._directory / upload_id

    async def _write(self, file: "_NewFile", batch: list[bytes]) -> None:
        with _storing():
            await self._run(lambda: file.write(batch))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._pool.submit(work))


class _NewFile:
    """A file while it is written. Its methods run in threads, one after the other."""

    def __init__(self, directory: Path, name: str) -> None:
        """Raises OSError."""
        if not directory.is_dir():
            directory.mkdir(mode=0o700, exist_ok=True)
            _sync(directory.parent)
        self._directory = directory
        self._path = directory / name
        self._lock = threading.Lock()  # a cancelled receipt discards the file while a batch may still be written
        self._digest = hashlib.sha256()
        self._size = 0
        self._fd = os.open(self._path, _CREATE, 0o600)

    def write(self, batch: list[bytes]) -> None:
        """Raises OSError."""
        data = memoryview(b"".join(batch))
        self._digest.update(data)
        self._size += len(data)
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]

    def finish(self) -> Written:
        """Raises OSError."""
        with self._lock:
            os.fsync(self._fd)
            self._close()
        _sync(self._directory)
        return Written(self._size, self._digest.digest())

    def discard(self) -> None:
        with self._lock, suppress(OSError):  # what stays goes at the next start
            self._close()
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1  # a later write fails, whatever else has the number by then
        if fd >= 0:
            os.close(fd)


def _sync(directory: Path) -> None:
    fd = os.open(directory, _DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _storing() -> Iterator[None]:
    """Raises UploadNotStored, OutOfDescriptors."""
    try:
        with descriptors.needed():
            yield
    except OSError as error:
        cause, _ = cause_of(error, "the server's user")
        raise UploadNotStored(f"the uploaded picture cannot be written: {cause}", "try again later") from error


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Raises SourceLost, SourceUnavailable, OutOfDescriptors."""
    try:
        with descriptors.needed():
            fd = os.open(path, _READ)
    except FileNotFoundError:
        hint = "the data directory was restored or moved without its uploads: send the picture again"
        raise SourceLost("The file of the uploaded picture is missing", hint) from None
    except OSError as error:
        raise _unreadable(error) from None
    try:
        yield fd
    except OSError as error:
        raise _unreadable(error) from None
    finally:
        os.close(fd)


def _unreadable(error: OSError) -> SourceUnavailable:
    cause, remedy = cause_of(error, "the server's user")
    return SourceUnavailable(f"The uploaded picture cannot be read: {cause}", remedy, is_retryable=True)
