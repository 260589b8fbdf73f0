"""What the kernel tells of a place: its file system, and who holds a lock on it. Called by ``storage``."""

import os
from pathlib import Path

FLEETING = frozenset({"tmpfs", "ramfs", "devtmpfs"})
REMOTE = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
)


def file_system(place: Path) -> str:
    """The type of the file system that holds ``place``; empty when it cannot be known (proc(5), mountinfo)."""
    real = place.resolve()
    best, kind = 0, ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode().decode("unicode_escape")
        if real.is_relative_to(point) and len(point) >= best:  # a later mount lies over an earlier one
            best, kind = len(point), after.split()[0]
    return kind


def lock_holder(path: Path) -> int | None:
    """The process that has flock'ed the file; None when nobody has. No lock is taken for it (proc(5), locks)."""
    if not path.exists():
        return None
    told = path.stat()
    device = f"{os.major(told.st_dev):02x}:{os.minor(told.st_dev):02x}:{told.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5] == device:
            return int(words[4])
    return None
