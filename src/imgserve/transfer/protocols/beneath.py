"""Opening files beneath a root and nowhere else: Linux's openat2 (2), kernel 5.6 and later.

In: a root's descriptor and a relative path. Out: a descriptor. The kernel does the checking, at each step of the
path, so that neither ``..`` nor a symbolic link nor a rename race leads out. Called by ``file``.
"""

import ctypes
import errno
import os

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_TRIES = 8

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(root: int, relative: str, flags: int) -> int:
    """The caller owns the descriptor. Raises OSError; EXDEV means that the path leads out."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    path = os.fsencode(relative or ".")
    for _ in range(_TRIES):
        found = _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(root), ctypes.c_char_p(path),
            ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)),
        )  # fmt: skip
        if found >= 0:
            return int(found)
        # EAGAIN: a directory was renamed meanwhile and the kernel could not be sure.
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
