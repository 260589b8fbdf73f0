"""The directory of the queue file: one server owns it, its disk must have room, and its files must stay in it.

Called by ``queue`` and the committer.
"""

import fcntl
import os
import time
from pathlib import Path

from imgserve.jobs.faults import DiskFull, StorageFailing
from imgserve.jobs.sqlite.breakage import FREE, GOES_ON, storage_failing

# The directory beside the queue file that has the pictures of uploads.
UPLOADS = "uploads"
# ``cli.owner`` holds the lock for a moment too, to see whether a server does.
_TRIES, _PAUSE_S = 5, 0.02
# Two changes of a directory within one tick of the file system's clock leave the same time; FAT's tick is the longest.
_TICK_NS = 2_000_000_000


SAVE = (
    "put it back, and the server goes on by itself; if it is gone, copy what the server still holds open"
    " (docs/operations.md, Backup and restore) before you restart it"
)


def lock(data_dir: Path) -> int:
    """A descriptor that holds the directory until it is closed. Raises StorageFailing, also if a server has it."""
    place = data_dir / "lock"
    try:
        fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        what = f"the data directory {data_dir} cannot be used"
        raise storage_failing(error, what, place, is_start=True) from error
    for _ in range(_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        else:
            return fd
    os.close(fd)
    raise StorageFailing(
        f"the data directory {data_dir} belongs to another running imgserve",
        "stop that server, or give this one its own --data-dir",
    )


def home(data_dir: Path, boot: str) -> str:
    """Names the lock that the caller holds, among those of all machines; empty where the kernel's boot has no id.

    A file that a process holds open keeps its number, even if it is removed. So of two servers with this name, of which
    each once held the lock, the earlier one has ended.
    """
    status = (data_dir / "lock").stat()
    return f"{boot}:{status.st_dev}:{status.st_ino}" if boot else ""


def lack_of_room(data_dir: Path, min_free_bytes: int) -> StorageFailing | None:
    """The fault, if the disk has less free space than that."""
    try:
        stat = os.statvfs(data_dir)
    except OSError as error:
        return storage_failing(error, "the data directory cannot be looked at", data_dir)
    if stat.f_bavail * stat.f_frsize >= min_free_bytes:
        return None
    detail = f"less than {min_free_bytes // 1_000_000} MB are free where the queue is kept"
    return DiskFull(detail, f"{FREE}; {GOES_ON}")


class OpenFiles:
    """The files that a server holds open in its data directory, by device and inode.

    A file that was moved or removed can still be written, but its contents are lost; a removed lock keeps no second
    server out.
    """

    def __init__(self, data_dir: Path, file_name: str) -> None:
        """As they are now."""
        self.data_dir = data_dir.absolute()
        paths = [str(self.data_dir / name) for name in ("lock", file_name, f"{file_name}-wal")]
        self._identities = tuple((path, one) for path in paths if (one := _identity(path)) is not None)
        self._has_links = any(Path(path).is_symlink() for path, _ in self._identities)
        self._directory = str(self.data_dir)
        self._last_directory: tuple[int, int, int] | None = None

    def look_again(self) -> StorageFailing | None:
        """As ``look``, but one system call while no file of the directory was created, moved or removed. Where links
        lead elsewhere the directory shows nothing.

        For the committer's thread alone, with each commit.
        """
        try:
            status = os.stat(self._directory)  # noqa: PTH116 - Path.stat takes twice as long
        except OSError:
            return self.look()
        directory = (status.st_dev, status.st_ino, status.st_ctime_ns)
        if directory == self._last_directory:
            return None
        failure = self.look()
        is_settled = failure is None and time.time_ns() - status.st_ctime_ns > _TICK_NS
        self._last_directory = directory if is_settled and not self._has_links else None
        return failure

    def look(self) -> StorageFailing | None:
        """The fault, if one of them was moved or replaced. Takes a few microseconds."""
        for path, before in self._identities:
            if (now := _identity(path)) == before:
                continue
            if not self.data_dir.is_dir():
                return StorageFailing(
                    f"the data directory {self.data_dir} was moved or removed under the server",
                    f"put it back there, and {GOES_ON}",
                )
            if now is None:
                return StorageFailing(f"{path} was removed under the server", SAVE)
            return StorageFailing(
                f"{path} was replaced under the server: another file is there now",
                f"put the old one back, and {GOES_ON}; or restart the server, which then takes the new one",
            )
        return None


def _identity(path: str) -> tuple[int, int] | None:
    """None for a file that is not there or cannot be seen."""
    try:
        status = os.stat(path)  # noqa: PTH116 - Path.stat takes twice as long
    except OSError:
        return None
    return status.st_dev, status.st_ino


def sync(data_dir: Path) -> None:
    """Make the new file names durable too, not only what the files hold."""
    fd = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
