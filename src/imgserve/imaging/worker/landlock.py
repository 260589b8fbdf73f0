"""Landlock by system call: limits the files that this thread and its children can open.

Called by ``sandbox.py``. Numbers and structures: linux/landlock.h and the kernel's userspace-api/landlock page. The
ruleset binds the calling thread and the threads it starts later, so it must be set while the process has only one.
"""

import ctypes
import os
from collections.abc import Sequence

from imgserve.imaging.worker.systemcalls import Unavailable, call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_FILE_RIGHTS_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_NETWORK_RIGHTS = 0b11  # bind and connect of TCP, since ABI 4
_SCOPES = 0b11  # abstract UNIX sockets and signals, since ABI 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def ruleset(readable: Sequence[str], changeable: Sequence[str] = (), listed: Sequence[str] = ()) -> int:
    """A descriptor of rules that deny every file but those beneath ``readable``, which may be read, and ``changeable``,
    which may be written too. Of folders beneath ``listed`` the names may be read. Raises Unavailable.
    """
    abi = call(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    attributes = _Ruleset(_FILE_RIGHTS_OF_ABI[min(abi, 5)], _NETWORK_RIGHTS, _SCOPES)
    known_bytes = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset_fd = call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(known_bytes), 0)
    try:
        for path in readable:
            _allow(ruleset_fd, path, _READ_FILE | _READ_DIR)
        for path in changeable:
            _allow(ruleset_fd, path, _READ_FILE | _READ_DIR | _WRITE_FILE)
        for path in listed:
            _allow(ruleset_fd, path, _READ_DIR)
    except Unavailable:
        os.close(ruleset_fd)
        raise
    return ruleset_fd


def restrict(ruleset_fd: int) -> None:
    """Bind this thread to the rules, for good. NO_NEW_PRIVS must be set. Raises Unavailable."""
    call(_RESTRICT_SELF, ruleset_fd, 0)


def _allow(ruleset_fd: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        is_folder = os.path.isdir(path)  # noqa: PTH112 - worker stays light
        rule = _PathBeneath(rights if is_folder else rights & ~_READ_DIR, descriptor)
        call(_ADD_RULE, ruleset_fd, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
