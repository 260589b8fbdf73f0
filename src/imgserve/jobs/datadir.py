"""The directory of the queue file: one server owns it, and there must be room in it. Called by ``sqlite.py``."""

import fcntl
import os
import time
from pathlib import Path

from imgserve.jobs.breakage import FREE, GOES_ON, storage_failing
from imgserve.jobs.queue import DiskFull, StorageFailing

# ``owner`` holds the lock for a moment too when it looks whether anybody does.
_TRIES, _PAUSE_S = 5, 0.02


class DataDirectoryInUse(StorageFailing):
    """Another server owns the data directory."""


def lock(data_dir: Path) -> int:
    """A descriptor that holds the directory until it is closed. Raises DataDirectoryInUse, StorageFailing."""
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
    raise DataDirectoryInUse(
        f"the data directory {data_dir} belongs to another running imgserve",
        "stop that server, or give this one its own --data-dir",
    )


def check_free(data_dir: Path, min_free_bytes: int) -> None:
    """Raises DiskFull, StorageFailing."""
    try:
        stat = os.statvfs(data_dir)
    except OSError as error:
        raise storage_failing(error, "the data directory cannot be looked at", data_dir) from error
    if stat.f_bavail * stat.f_frsize < min_free_bytes:
        raise DiskFull(
            f"less than {min_free_bytes // 1_000_000} MB are free where the queue is kept", f"{FREE}; {GOES_ON}"
        )


def sync(data_dir: Path) -> None:
    """Make the new file names durable too, not only what the files hold."""
    fd = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
