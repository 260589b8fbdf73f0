"""Maps SQLite's and the system's errors to ``StorageFailing``, with the cause and the remedy."""

import errno
import os
from pathlib import Path

import apsw

from imgserve.errors import cause_of, user_name
from imgserve.jobs.faults import DiskFull, StorageFailing

# Errors that a disk or another process can cause. All other errors of SQLite are bugs of ours.
STORAGE_ERRORS = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ReadOnlyError,
)
FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)

# SQLite needs this much for the index of its log (https://sqlite.org/walformat.html), and a little more.
LEAST_BYTES = 65_536

FREE = "free disk space"
GOES_ON = "the server goes on by itself"
RESTORE = "stop the server, move the data directory away, and start with an empty one or a backup"
MEND = "mend the disk; the system's log (dmesg) says more"


def storage_failing(error: Exception, what: str, path: Path, *, is_start: bool = False) -> StorageFailing:
    """``what`` could not be done with ``path``. At a start there is no server yet that could go on."""
    after = "then start again" if is_start else GOES_ON
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, apsw.FullError) or number in FULL or _is_full(error, path):
        return DiskFull(f"{what}: the disk of {path.parent} is full", f"{FREE}; {after}")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StorageFailing(f"{what}: the file is damaged ({error})", RESTORE)
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StorageFailing(f"{what}: another program holds the file", f"end that program, sqlite3 perhaps; {after}")
    if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError | apsw.CantOpenError) or number in DENIED:
        return StorageFailing(*_denied(what, path, str(error)))
    if isinstance(error, OSError):
        cause, remedy = cause_of(error)
        return StorageFailing(f"{what}: {cause}", f"{remedy or MEND}; {after}")
    return StorageFailing(f"{what}: {error}", f"{MEND}; {after}")


def _is_full(error: Exception, path: Path) -> bool:
    """SQLite calls it an I/O error when there is no room for the index of its log."""
    if not isinstance(error, apsw.IOError | apsw.CantOpenError):
        return False
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < LEAST_BYTES


def _denied(what: str, path: Path, reason: str) -> tuple[str, str]:
    """Detail and hint: whose file it is that this user may not write."""
    places = [path.parent, *sorted(path.parent.glob(f"{path.name}*"))] if path.parent.is_dir() else []
    shut = next((place for place in places if not os.access(place, os.W_OK, effective_ids=True)), None)
    if shut is None:
        return (
            f"{what}: {reason}",
            f"look at {path.parent} and its files: this server's user must be able to write them",
        )
    owner, user = user_name(shut.stat().st_uid), user_name(os.geteuid())
    if owner == user:
        return f"{what}: {shut} cannot be written", "make it writable for its owner; is its disk mounted read-only?"
    return (
        f"{what}: {shut} belongs to {owner}, and this server runs as {user}",
        f"chown -R {user} {path.parent}, or start the server as {owner}",
    )
