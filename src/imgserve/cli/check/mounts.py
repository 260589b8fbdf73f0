"""The file system of a place, as the kernel names it. Called by ``storage``."""

from pathlib import Path

FLEETING = frozenset({"tmpfs", "ramfs", "devtmpfs"})
REMOTE = frozenset(["9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "lustre", "nfs", "nfs4", "smb3"])


def file_system(place: Path) -> str:
    """The type of the file system that holds ``place``; empty when it cannot be known (proc(5), mountinfo)."""
    longest, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode().decode("unicode_escape")
        if place.resolve().is_relative_to(point) and len(point) >= len(longest):  # a later mount covers an earlier one
            longest, kind = point, after.split()[0]
    return kind
