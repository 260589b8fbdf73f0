"""Opens files beneath a directory and nowhere else, by Linux's openat2(2), kernel 5.6 and later.

The kernel checks each step of the path, so neither ``..`` nor a symbolic link nor a rename race leads out.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_RESOLVE_NO_XDEV = 0x01
_RESOLVE_CACHED = 0x20
CURRENT = -100  # AT_FDCWD, for absolute paths
_TRIES = 8

_libc = ctypes.CDLL(None, use_errno=True)
# Keeps the interpreter's lock during a call, for calls that do not wait.
_quick_libc = ctypes.PyDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@contextmanager
def open_beneath(directory: int, relative: str, flags: int, mode: int = 0) -> Iterator[int]:
    """A descriptor, closed when the block ends. Raises OSError; EXDEV means that the path leads out."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    path = os.fsencode(relative or ".")
    for _ in range(_TRIES):
        descriptor = _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(directory), ctypes.c_char_p(path),
            ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)),
        )  # fmt: skip
        # EAGAIN: a directory was renamed during the call and the kernel could not be sure.
        if descriptor >= 0 or ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_cached(directory: int, path: str, flags: int, *, is_beneath: bool = False) -> int:
    """A descriptor, which the caller closes, of what the kernel can open from its memory, without a look at a file
    system. ``is_beneath``: within the directory and its mount. -1: not so, or there is an error.
    """
    resolve = _RESOLVE_CACHED
    if is_beneath:
        resolve |= _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    descriptor: int = _quick_libc.syscall(
        ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(directory), ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how)),
    )  # fmt: skip
    return descriptor
