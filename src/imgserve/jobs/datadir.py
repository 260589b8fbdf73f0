"""The directory of the queue file: one server owns it, and there must be room in it. Called by ``sqlite.py``."""

import fcntl
import os
from pathlib import Path

from imgserve.jobs.committer import REMEDY
from imgserve.jobs.queue import StorageFailing


class DataDirectoryInUse(StorageFailing):
    """Another server owns the data directory."""


def lock(data_dir: Path) -> int:
    """A descriptor that holds the directory until it is closed. Raises DataDirectoryInUse, StorageFailing."""
    try:
        fd = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageFailing(f"the data directory {data_dir} cannot be used: {error.strerror}", REMEDY) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise DataDirectoryInUse(
            f"the data directory {data_dir} belongs to another running imgserve",
            "stop that server, or give this one its own --data-dir",
        ) from error
    return fd


def check_free(data_dir: Path, min_free_bytes: int) -> None:
    """Raises StorageFailing."""
    stat = os.statvfs(data_dir)
    if stat.f_bavail * stat.f_frsize < min_free_bytes:
        raise StorageFailing(
            f"less than {min_free_bytes // 1_000_000} MB are free where the queue is kept",
            "free disk space; the server goes on by itself",
        )


def sync(data_dir: Path) -> None:
    """Make the new file names durable too, not only what the files hold."""
    fd = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
