"""Gives a new file the rights of the file that it replaces. Called by ``file_write``.

Where the group cannot be kept, the new file's group gets no more than all users have: the old file kept it out.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import msgspec

_ACL = "system.posix_acl_access"  # acl(5); with one, the group's bits of the mode are the list's mask
# Not permitted; an owner that a container's user namespace does not know; a file system without such rights.
_DENIED = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP)


class Rights(msgspec.Struct, frozen=True):
    """``mode`` is without setuid, setgid and sticky bits; ``access_list`` is empty where there is none."""

    mode: int
    owner: int
    group: int
    access_list: bytes

    @classmethod
    def of(cls, parent: int, name: str) -> Self | None:
        """Those of the regular file of this name, if there is one."""
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        access_list = b""
        with suppress(OSError):  # there is none, or the file system has none
            access_list = os.getxattr(f"/proc/self/fd/{parent}/{name}", _ACL, follow_symlinks=False)
        return cls(status.st_mode & 0o777, status.st_uid, status.st_gid, access_list)

    def give(self, descriptor: int) -> None:
        """Apply them to a new file. The owner comes last: after that the server may have no right to the file."""
        has_group = _is_done(lambda: os.fchown(descriptor, -1, self.group))
        has_list = has_group and bool(self.access_list)
        has_list = has_list and _is_done(lambda: os.setxattr(descriptor, _ACL, self.access_list))
        if not has_list:
            with suppress(OSError):  # there is one only if the directory has a default list
                os.removexattr(descriptor, _ACL)
        is_as_before = has_group and (has_list or not self.access_list)
        os.fchmod(descriptor, self.mode if is_as_before else self.mode & 0o707 | (self.mode & 0o007) << 3)
        _is_done(lambda: os.fchown(descriptor, self.owner, -1))


def _is_done(change: Callable[[], None]) -> bool:
    """False where the system denies it."""
    try:
        change()
    except OSError as error:
        if error.errno not in _DENIED:
            raise
        return False
    return True
