"""The directory of a cache: entries as files, each beneath the beginning of its name. Blocking; ``cache`` calls it in
threads, and the upkeep is a thread.

    entries/3fa/3fa19c….           lower-case hex; the beginning of a name is the digest of the source
    new/                           files while they are written; emptied at the start
    old/                           entries of which it is not known what was purged; deleted in the background
    purges.json, index.sqlite      see ``purge`` and ``index``
    lock                           held by the server that uses the directory

A file is written beneath ``new`` and renamed into its place, so a reader finds a whole entry or none. ``new`` is a
directory of its own because temporary names among the entries could only be found by listing 4096 directories.

Nothing is synced. After a power cut a file may be there without its bytes; its checksum tells, and the entry is a miss.
Two syncs an entry would cost a disk more than the render that they save.
"""

import errno
import fcntl
import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

from imgserve import failpoint
from imgserve.engine.cache.body import READ_BYTES, OpenBody
from imgserve.engine.cache.entry import (
    LEAD_BYTES,
    MAX_HEADER_BYTES,
    Buffer,
    Damaged,
    Header,
    Lead,
    Sum,
    body_at,
    encode,
    is_name,
    lead_of,
)

# The first read of a file has the whole header. Most renditions are no larger, and then it is the only one.
_FIRST_READ_BYTES = 2 * MAX_HEADER_BYTES
# A header rarely takes more than this. Longer ones are read again.
_HEADER_READ_BYTES = 1024
_FAN_DIGITS = 3
FAN = 16**_FAN_DIGITS
_BLOCK_BYTES = 4096
# Of single directories, some milliseconds each. More of them take longer than all disks together (sync(2)).
_MAX_SYNCS = 64

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class InUse(OSError):
    """Another server holds the directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(errno.EBUSY, "another server uses this directory; name another cache_dir", str(directory))


def charge_of(size_bytes: int) -> int:
    """What a file takes on the disk: whole blocks."""
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


class Store:
    """``directory`` belongs to this object from ``open`` to ``close``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock_fd = self._entries_fd = self._new_fd = -1
        self._numbers = itertools.count()
        # Held while a file gets its name or loses it, until that is noted: else the index might learn of the two in the
        # wrong order. And by a purge that waits until no write is between its last look at the purges and its rename.
        self._naming = threading.Lock()

    def open(self) -> None:
        """Make or take over the directory. Raises OSError, InUse."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_fd = _locked(self.directory)
        try:
            # A killed server left half-written files here.
            shutil.rmtree(self.directory / "new", ignore_errors=True)
            for name in ("entries", "new", "old"):
                (self.directory / name).mkdir(mode=0o700, exist_ok=True)
            self._entries_fd = os.open(self.directory / "entries", _DIRECTORY)
            self._new_fd = os.open(self.directory / "new", _DIRECTORY)
        except BaseException:
            self.close()
            raise

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
            return None
        is_kept = False
        try:
            header, body = _verified(fd, most_bytes)
            is_kept = isinstance(body, OpenBody)
        finally:
            if not is_kept:
                os.close(fd)
        return header, body

    def write(
        self, name: bytes, header: Header, body: Buffer, is_wanted: Callable[[], bool], note: Callable[[int], None]
    ) -> bool:
        """Write an entry over the one there. False: its header is too long for a file, or ``is_wanted`` was false just
        before the file got its name. ``note`` gets the file's size as soon as it has its name.

        No other entry gets its name while the two run. Raises OSError.
        """
        lead = encode(header, (body,))
        if len(lead) > LEAD_BYTES + MAX_HEADER_BYTES:
            return False
        temporary = f"{next(self._numbers)}"
        is_placed = False
        try:
            self._fill(temporary, lead, body)
            failpoint.reach("cache_written")
            with self._naming:
                if is_wanted():
                    self._place(temporary, name)
                    is_placed = True
                    failpoint.reach("cache_renamed")
                    note(len(lead) + len(body))
        finally:
            if not is_placed:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=self._new_fd)
        return is_placed

    def wait_for_naming(self) -> None:
        """Return when no write is between its last look at ``is_wanted`` and its note."""
        with self._naming:
            return

    def remove(self, name: bytes, note: Callable[[bytes], None] = lambda _: None) -> bool:
        """Whether there was one; then ``note`` has got its name before the name is given again. Raises OSError."""
        with self._naming:
            try:
                os.unlink(_path(name), dir_fd=self._entries_fd)
            except FileNotFoundError:
                return False
            note(name)
            return True

    def remove_all(self, prefix: bytes, note: Callable[[bytes], None]) -> int:
        """Delete the entries whose names begin so, with at least the digest of a source. Their number, once that is
        durable. Raises OSError.
        """
        number = number_of(prefix)
        removed = sum(self.remove(name, note) for name in self.names(number) if name.startswith(prefix))
        if removed:
            failpoint.reach("cache_purge_removed")
            self.sync_directories([number])
        return removed

    def names(self, number: int) -> list[bytes]:
        """The entries of one of the ``FAN`` directories. Raises OSError."""
        return list(self._files(number))

    def used(self, number: int) -> dict[bytes, tuple[int, int]]:
        """What each of their files takes on the disk, and when it was used last by the file's times. Raises OSError.

        A file system keeps the time of access to the day (relatime), or not at all.
        """
        found = {}
        for name, file in self._files(number).items():
            with suppress(FileNotFoundError):
                status = file.stat(follow_symlinks=False)
                found[name] = charge_of(status.st_size), int(max(status.st_atime, status.st_mtime))
        return found

    def header(self, name: bytes) -> Header | None:
        """Of an entry whose body is not verified. None: there is none. Raises Damaged, OSError."""
        fd = self._opened(name)
        if fd < 0:
            return None
        try:
            return _lead(fd).header
        finally:
            os.close(fd)

    def _files(self, number: int) -> dict[bytes, os.DirEntry[str]]:
        with suppress(FileNotFoundError), os.scandir(self.directory / "entries" / _directory(number)) as files:
            return {name: file for file in files if (name := _name(file.name)) is not None}
        return {}

    def sync_directories(self, numbers: Collection[int]) -> None:
        """Make deletions in these of the ``FAN`` directories durable. Raises OSError."""
        if len(numbers) > _MAX_SYNCS:
            os.sync()
            return
        for number in numbers:
            with suppress(FileNotFoundError):
                sync(self.directory / "entries" / _directory(number))

    def set_aside(self) -> None:
        """Take all entries out of use. Durable when it returns. Raises OSError."""
        entries, old = self.directory / "entries", self.directory / "old"
        if not any(entries.iterdir()):
            return
        entries.rename(old / f"{len(list(old.iterdir()))}-{time.time_ns()}")
        entries.mkdir(mode=0o700)
        os.close(self._entries_fd)
        self._entries_fd = os.open(entries, _DIRECTORY)
        sync(self.directory)

    def delete_old(self, is_stopping: Callable[[], bool]) -> None:
        """Delete what was set aside. Raises OSError."""
        old = self.directory / "old"
        for directory, _, files in os.walk(old, topdown=False):
            for file in files:
                if is_stopping():
                    return
                (Path(directory) / file).unlink()
            if Path(directory) != old:
                Path(directory).rmdir()

    def probe(self) -> None:
        """Write and delete a block. Raises OSError."""
        temporary = f"{next(self._numbers)}"
        try:
            self._fill(temporary, b"", bytes(_BLOCK_BYTES))
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
            return os.open(_path(name), _READ, dir_fd=self._entries_fd)
        except FileNotFoundError:
            return -1

    def _fill(self, temporary: str, lead: bytes, body: Buffer) -> None:
        fd = os.open(temporary, _CREATE, 0o600, dir_fd=self._new_fd)
        try:
            failpoint.reach("cache_created")
            half = len(body) // 2
            _write(fd, lead, memoryview(body)[:half])
            failpoint.reach("cache_half_written")
            _write(fd, memoryview(body)[half:])
        finally:
            os.close(fd)

    def _place(self, temporary: str, name: bytes) -> None:
        path = _path(name)
        try:
            os.rename(temporary, path, src_dir_fd=self._new_fd, dst_dir_fd=self._entries_fd)
        except FileNotFoundError:
            with suppress(FileExistsError):
                os.mkdir(_directory(number_of(name)), 0o700, dir_fd=self._entries_fd)
            os.rename(temporary, path, src_dir_fd=self._new_fd, dst_dir_fd=self._entries_fd)


def number_of(name: bytes) -> int:
    """That of the directory among the ``FAN``."""
    return int.from_bytes(name[:2]) >> (16 - 4 * _FAN_DIGITS)


def range_of(number: int) -> tuple[bytes, bytes]:
    """The names of a directory are from the first value on, and less than the second."""
    shift = 16 - 4 * _FAN_DIGITS
    end = (number + 1) << shift
    return (number << shift).to_bytes(2), b"\xff" * 32 if end > 0xFFFF else end.to_bytes(2)


def sync(directory: Path) -> None:
    fd = os.open(directory, _DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _directory(number: int) -> str:
    return f"{number:0{_FAN_DIGITS}x}"


def _path(name: bytes) -> str:
    text = name.hex()
    return f"{text[:_FAN_DIGITS]}/{text}"


def _name(text: str) -> bytes | None:
    """None for a file that is no entry, which is somebody else's and stays."""
    try:
        name = bytes.fromhex(text)
    except ValueError:
        return None
    return name if is_name(name) and name.hex() == text else None


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


def _write(fd: int, *pieces: Buffer) -> None:
    """Raises OSError."""
    waiting = [memoryview(piece) for piece in pieces if len(piece)]
    while waiting:
        written = os.writev(fd, waiting)
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.pop(0))
        if waiting:
            waiting[0] = waiting[0][written:]


def _lead(fd: int) -> Lead:
    """Raises Damaged, OSError."""
    start = os.pread(fd, _HEADER_READ_BYTES, 0)
    end = body_at(start)
    return lead_of(start if end <= len(start) else os.pread(fd, end, 0))


def _verified(fd: int, most_bytes: int) -> tuple[Header, bytes | OpenBody]:
    """Raises Damaged, OSError."""
    size = os.fstat(fd).st_size
    start = os.pread(fd, max(min(size, _FIRST_READ_BYTES), 1), 0)
    lead = lead_of(start)
    if size != lead.file_bytes:
        raise Damaged("its length is wrong")
    total = Sum(lead)
    if lead.body_bytes > most_bytes:
        for piece in _pieces(fd, lead):
            total.add(piece)
        total.check()
        return lead.header, OpenBody(fd, lead.body_at, lead.body_bytes)
    rest = b"" if size == len(start) else os.pread(fd, size - len(start), len(start))
    body = start[lead.body_at :] + rest if rest else start[lead.body_at :]
    total.add(body)
    total.check()
    return lead.header, body


def _pieces(fd: int, lead: Lead) -> Iterator[bytes]:
    """By reads and not by a mapping: a mapped file that is cut meanwhile would end the process (SIGBUS)."""
    position = lead.body_at
    while position < lead.file_bytes and (piece := os.pread(fd, READ_BYTES, position)):
        yield piece
        position += len(piece)


def replace_durably(path: Path, data: bytes) -> None:
    """Write a small file anew: after a power cut the old one is there or the new one. Raises OSError."""
    temporary = path.with_name(f"{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.rename(path)
    sync(path.parent)
