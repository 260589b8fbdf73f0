"""The directory of a cache: entries as files, each beneath the beginning of its name. Blocking; ``cache`` and
``writes`` call it in threads, and the upkeep is a thread.

    entries/3fa/3fa19c….           see ``names``, ``entry``
    new/                           files while they are written; emptied at the start
    old/                           entries of which it is not known what was purged; deleted in the background
    purges.json, index.sqlite      see ``purge`` and ``index``
    lock                           held by the server that uses the directory

A file is written beneath ``new`` and renamed into its place, so a reader finds a whole entry or none. ``new`` is a
directory of its own because temporary names among the entries could only be found by listing 4096 directories.

Nothing is synced. After a power cut a file may be there without its bytes; its checksum tells, and the entry is a miss.
Two syncs an entry would cost a disk more than the render that they save.
"""

import ctypes
import errno
import fcntl
import itertools
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from imgserve import failpoint
from imgserve.blob import Blob
from imgserve.engine.cache.absent import Absent
from imgserve.engine.cache.body import OpenBody
from imgserve.engine.cache.entry import LEAD_BYTES, MAX_HEADER_BYTES, Buffer, Header, encode
from imgserve.engine.cache.files import DIRECTORY, header_of, sync, verified, write
from imgserve.engine.cache.names import (
    BLOCK_BYTES,
    FAN,
    charge_of,
    directory_number,
    directory_of,
    name_of,
    number_of,
    path_of,
)
from imgserve.engine.cache.notes import Notes, Row
from imgserve.engine.cache.parallel import each

# For syncfs(2), which Python does not have. sync(2) would wait for all disks, and fsync(2) for one directory of 4096.
_libc = ctypes.CDLL(None, use_errno=True)

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class InUse(OSError):
    """Another server holds the directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(errno.EBUSY, "another server uses this directory; name another cache_dir", str(directory))


class Store:
    """``directory`` belongs to this object from ``open`` to ``close``. ``notes`` say what came and went."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.notes = Notes()
        self._lock_fd = self._entries_fd = self._new_fd = -1
        self._numbers = itertools.count()
        # One is held while a file gets or loses its name, until that is noted: otherwise the index might learn of the
        # two in the wrong order. A purge takes each once, and so waits for writes that are between their last look at
        # the purges and their rename. There are several, by the first digit of the name, so that deletions do not wait
        # for each other.
        self._naming = tuple(threading.Lock() for _ in range(16))
        # Of each directory: how many names it has lost, and how many of them durably. The count begins at one, since a
        # server that was killed may have deleted names that are not durably gone.
        self._removals, self._synced = [1] * FAN, [0] * FAN
        self._absent = Absent(range(FAN))

    def open(self) -> None:
        """Make or take over the directory. Raises OSError, InUse."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_fd = _locked(self.directory)
        try:
            # A killed server left half-written files here.
            shutil.rmtree(self.directory / "new", ignore_errors=True)
            for name in ("entries", "new", "old"):
                (self.directory / name).mkdir(mode=0o700, exist_ok=True)
            self._entries_fd = os.open(self.directory / "entries", DIRECTORY)
            self._new_fd = os.open(self.directory / "new", DIRECTORY)
            self._absent = Absent(self.directories())
        except BaseException:
            self.close()
            raise

    def lacks(self, name: bytes) -> bool:
        """Whether it is known that there is no such entry. Does not block."""
        return self._absent.lacks(name)

    def close(self) -> None:
        for fd in (self._entries_fd, self._new_fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._lock_fd = self._entries_fd = self._new_fd = -1

    def read(self, name: bytes, most_bytes: int) -> tuple[Header, bytes | OpenBody] | None:
        """A whole, verified entry. None: there is none. A body of more than ``most_bytes`` is an open file, which the
        caller closes.

        Raises Damaged, OSError.
        """
        fd = self._opened(name)
        if fd < 0:
            self._list_around(number_of(name))
            return None
        is_kept = False
        try:
            header, body = verified(fd, most_bytes)
            is_kept = isinstance(body, OpenBody)
        finally:
            if not is_kept:
                os.close(fd)
        return header, body

    def _list_around(self, number: int) -> None:
        """Learn which entries of the directory are absent, unless that is known. Raises OSError."""
        if self._absent.is_listed(number):
            return
        with self._naming_of(number):
            self._absent.listed(number, self.names(number))

    def write(self, header: Header, body: bytes | Blob, now_s: float, is_wanted: Callable[[], bool]) -> bool:
        """Write an entry over the one there. False: its header is too long for a file, or ``is_wanted`` was false just
        before the file got its name. Raises OSError.
        """
        lead = encode(header, _pieces(body))
        if len(lead) > LEAD_BYTES + MAX_HEADER_BYTES:
            return False
        name, size = header.key.name, charge_of(len(lead) + _size(body))
        temporary = f"{next(self._numbers)}"
        is_placed = False
        try:
            self._fill(temporary, lead, body)
            failpoint.reach("cache_written")
            with self._naming_of(number_of(name)):
                if is_wanted():
                    self._place(temporary, name)
                    is_placed = True
                    failpoint.reach("cache_renamed")
                    self.notes.stored(Row(name, size, int(now_s), header.epoch, header.key.source))
        finally:
            if not is_placed:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=self._new_fd)
        return is_placed

    def wait_for_naming(self) -> None:
        """Return when no write is between its last look at ``is_wanted`` and its note."""
        for lock in self._naming:
            with lock:
                pass

    def _naming_of(self, number: int) -> threading.Lock:
        return self._naming[number * len(self._naming) // FAN]

    def remove(self, name: bytes, *, even_new: bool = True) -> bool:
        """Whether there was one, and it is gone. False for one that the index does not know yet, unless ``even_new``.
        Raises OSError.
        """
        number = number_of(name)
        with self._naming_of(number):
            if not even_new and self.notes.has_stored(name):
                return False
            try:
                os.unlink(path_of(name), dir_fd=self._entries_fd)
                was_there = True
                self._absent.removed(name)
            except FileNotFoundError:
                was_there = False
            self.notes.removed(name)
            self._removals[number] += 1
            return was_there

    def remove_many(self, names: Collection[bytes]) -> int:
        """Delete entries that the index knows; one that has replaced such an entry meanwhile stays. The number of those
        that were there. Raises OSError; the others are deleted all the same.
        """

        def removed(name: bytes) -> bool | OSError:
            try:
                return self.remove(name, even_new=False)
            except OSError as error:
                return error

        # In order, so that each thread has directories and a lock of its own.
        results = each(removed, sorted(names))
        for result in results:
            if isinstance(result, OSError):
                raise result
        return sum(result is True for result in results)

    def remove_all(self, prefix: bytes) -> int:
        """Delete the entries whose names begin so, with at least the digest of a source. Their number, once that is
        durable. Raises OSError.
        """
        self.wait_for_naming()  # of writes that have looked at ``is_wanted`` before it was false for these
        number = number_of(prefix)
        removed = sum(self.remove(name) for name in self.names(number) if name.startswith(prefix))
        if removed:
            failpoint.reach("cache_purge_removed")
        self._sync_removals(number)
        return removed

    def _sync_removals(self, number: int) -> None:
        """Make deletions durable, earlier ones too: a purge did not find their files, and a power cut would bring them
        back. Raises OSError.
        """
        with self._naming_of(number):
            removals = self._removals[number]
        if self._synced[number] < removals:
            with suppress(FileNotFoundError):
                sync(self.directory / "entries" / directory_of(number))
            self._synced[number] = removals

    def sync(self) -> None:
        """Make all that came and went durable. Raises OSError."""
        if _libc.syncfs(self._entries_fd):
            raise OSError(ctypes.get_errno(), "the entries could not be synced", str(self.directory))

    def directories(self) -> list[int]:
        """Those of the ``FAN`` that exist, in order. Raises OSError."""
        numbers = map(directory_number, os.listdir(self._entries_fd))  # noqa: PTH208 - names are all that is wanted
        return sorted(number for number in numbers if number is not None)

    def names(self, number: int) -> list[bytes]:
        """The entries of one of the ``FAN`` directories. Raises OSError."""
        return list(self._files(number))

    def used(self, number: int) -> dict[bytes, tuple[int, int]]:
        """What the file of each entry takes on the disk, and when it was used last by the file's times. Raises OSError.

        A file system keeps the time of access to the day (relatime), or not at all.
        """
        found = {}
        for name, file in self._files(number).items():
            with suppress(FileNotFoundError):
                status = file.stat(follow_symlinks=False)
                if not stat.S_ISREG(status.st_mode) or number_of(name) != number:
                    continue  # somebody else's, which no eviction could delete
                found[name] = charge_of(status.st_size), int(max(status.st_atime, status.st_mtime))
        return found

    def header(self, name: bytes) -> Header | None:
        """Of an entry whose body is not verified. None: there is none. Raises Damaged, OSError."""
        fd = self._opened(name)
        if fd < 0:
            return None
        try:
            return header_of(fd)
        finally:
            os.close(fd)

    def _files(self, number: int) -> dict[bytes, os.DirEntry[str]]:
        with suppress(FileNotFoundError), os.scandir(self.directory / "entries" / directory_of(number)) as files:
            return {name: file for file in files if (name := name_of(file.name)) is not None}
        return {}

    def set_aside(self) -> None:
        """Take all entries out of use. Durable when it returns. Raises OSError."""
        entries, old = self.directory / "entries", self.directory / "old"
        if not any(entries.iterdir()):
            return
        entries.rename(old / f"{len(list(old.iterdir()))}-{time.time_ns()}")
        entries.mkdir(mode=0o700)
        os.close(self._entries_fd)
        self._entries_fd = os.open(entries, DIRECTORY)
        self._absent = Absent(())
        sync(self.directory)

    def delete_old(self, is_over: Callable[[], bool]) -> bool:
        """Delete what was set aside. False: there is more. Raises OSError."""
        old = self.directory / "old"
        for directory, _, files in os.walk(old, topdown=False):
            for file in files:
                if is_over():
                    return False
                (Path(directory) / file).unlink()
            if Path(directory) != old:
                Path(directory).rmdir()
        return True

    def probe(self) -> None:
        """Write and delete a block. Raises OSError."""
        temporary = f"{next(self._numbers)}"
        try:
            self._fill(temporary, b"", bytes(BLOCK_BYTES))
        finally:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=self._new_fd)

    def free_bytes(self) -> int:
        """That this process may still use on the disk. Raises OSError."""
        room = os.statvfs(self.directory)
        return room.f_bavail * room.f_frsize

    def _opened(self, name: bytes) -> int:
        """A descriptor; -1 if there is no such entry."""
        try:
            return os.open(path_of(name), _READ, dir_fd=self._entries_fd)
        except FileNotFoundError:
            return -1

    def _fill(self, temporary: str, lead: bytes, body: bytes | Blob) -> None:
        fd = os.open(temporary, _CREATE, 0o600, dir_fd=self._new_fd)
        try:
            failpoint.reach("cache_created")
            half = _size(body) // 2
            for piece in _pieces(body, 0, half):
                write(fd, lead, piece)
                lead = b""
            failpoint.reach("cache_half_written")
            for piece in _pieces(body, half):
                write(fd, lead, piece)
                lead = b""
        finally:
            os.close(fd)

    def _place(self, temporary: str, name: bytes) -> None:
        path = path_of(name)
        self._absent.added(name)
        try:
            os.rename(temporary, path, src_dir_fd=self._new_fd, dst_dir_fd=self._entries_fd)
        except FileNotFoundError:
            with suppress(FileExistsError):
                os.mkdir(directory_of(number_of(name)), 0o700, dir_fd=self._entries_fd)
            os.rename(temporary, path, src_dir_fd=self._new_fd, dst_dir_fd=self._entries_fd)


def _size(body: bytes | Blob) -> int:
    return body.size if isinstance(body, Blob) else len(body)


def _pieces(body: bytes | Blob, begin: int = 0, end: int | None = None) -> Iterable[Buffer]:
    return body.pieces(begin, end) if isinstance(body, Blob) else (memoryview(body)[begin:end],)


def _locked(directory: Path) -> int:
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise InUse(directory) from None
    except BaseException:
        os.close(fd)
        raise
    return fd
