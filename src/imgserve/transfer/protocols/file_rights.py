"""Who may use a file that is about to be replaced, and how its successor gets the same. Called by ``file_write``.

Where the group cannot be kept, the new one gets no more than all others have: the old file kept it out.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import msgspec

_ACL = "system.posix_acl_access"  # acl(5); with one, the group's bits of the mode are the list's mask
# Not ours to give; an owner that a container's user namespace does not know; a file system that knows none.
_DENIED = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP)


class Rights(msgspec.Struct, frozen=True):
    """``mode`` is without setuid, setgid and sticky bits; ``access_list`` is empty where there is none."""

    mode: int
    owner: int
    group: int
    access_list: bytes

    @classmethod
    def of(cls, parent: int, name: str) -> Self | None:
        """Those of the regular file that will be replaced, if there is one."""
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        access_list = b""
        with suppress(OSError):  # there is none, or the file system knows none
            access_list = os.getxattr(f"/proc/self/fd/{parent}/{name}", _ACL, follow_symlinks=False)
        return cls(status.st_mode & 0o777, status.st_uid, status.st_gid, access_list)

    def give(self, descriptor: int) -> None:
        """To a new file of ours. The owner comes last, for then the file may be no longer ours."""
        has_group = _is_done(lambda: os.fchown(descriptor, -1, self.group))
        has_list = has_group and bool(self.access_list)
        has_list = has_list and _is_done(lambda: os.setxattr(descriptor, _ACL, self.access_list))
        if not has_list:
            with suppress(OSError):  # mostly there is none; else the directory has lent it one
                os.removexattr(descriptor, _ACL)
        is_as_before = has_group and (has_list or not self.access_list)
        os.fchmod(descriptor, self.mode if is_as_before else self.mode & 0o707 | (self.mode & 0o007) << 3)
        _is_done(lambda: os.fchown(descriptor, self.owner, -1))


def _is_done(change: Callable[[], None]) -> bool:
    """False where it is denied."""
    try:
        change()
    except OSError as error:
        if error.errno not in _DENIED:
            raise
        return False
    return True
