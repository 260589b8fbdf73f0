"""A seccomp filter that denies the whole process the system calls that no codec needs.

Called by ``sandbox.py``. The filter denies listed calls, since lists of allowed calls break with the next libc. Calls
newer than the list are answered ENOSYS (``systemcalls.py``). Of a call with many functions only those in use pass.
Layout: linux/seccomp.h, linux/filter.h.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Mapping, Sequence

from imgserve.imaging.worker import systemcalls
from imgserve.imaging.worker.systemcalls import Unavailable

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SET_MODE_FILTER, _FLAG_TSYNC = 1, 1
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE, _NOT_THERE = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_OF_ARGUMENT = 0, 4, (16, 24)
_CLONE_THREAD = 0x00010000
_X32_BIT = 0x40000000
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS. Not F_SETOWN, F_SETOWN_EX and
# F_SETSIG, which make the kernel signal any process of the same user; not leases and locks, which hold up others.
_FCNTL = (0, 1, 2, 3, 4, 1030, 1033, 1034)
# TCGETS, FIONBIO, FIOCLEX, FIONCLEX. Not FS_IOC_SETFLAGS, which makes a file immutable even where it may only be read.
_IOCTL = (0x5401, 0x5421, 0x5451, 0x5450)
# PR_SET_NAME, PR_GET_NAME, PR_SET_VMA: names of threads and of memory. Not PR_SET_PDEATHSIG: a worker dies with its
# parent.
_PRCTL = (15, 16, 0x53564D41)
# Fork where it is no clone, the descriptor of a child and its way to the server, and the child's own lock.
_TEMPLATE = frozenset({
    "fork", "pidfd_open", "sendmsg", "getsockname", "getsockopt", "seccomp", "landlock_restrict_self",
})  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict(*, is_template: bool = False) -> None:
    """Install the filter in every thread of this process. NO_NEW_PRIVS must be set. Raises Unavailable."""
    machine = platform.machine()
    if machine not in systemcalls.MACHINES:
        raise Unavailable(f"the system call numbers of {machine} are not known")
    code = outer_program(machine) if is_template else program(machine, os.getpid())
    filter_ = _Program(len(code) // 8, code)
    thread = systemcalls.call(systemcalls.SECCOMP[machine], _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(filter_))
    if thread != 0:
        raise Unavailable(f"thread {thread} could not be included")


def program(machine: str, pid: int) -> bytes:
    """The filter in the kernel's form: eight bytes an instruction (code u16, jump-if u8, jump-else u8, operand u32)."""
    lines = _refusals(machine, systemcalls.denied(machine))
    lines += _unless(systemcalls.PRCTL[machine], 0, _is_one_of(_PRCTL))
    # A thread is allowed, a process is not.
    lines += _unless(systemcalls.CLONE[machine], 0, [_line(_HAS_BITS, _CLONE_THREAD, 1, 0)])
    # abort() signals its own process; no other may be signalled.
    lines += _unless(systemcalls.TGKILL[machine], 0, _is_one_of((pid,)))
    lines += _unless(systemcalls.PRLIMIT[machine], 0, _is_one_of((0, pid)))
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def outer_program(machine: str) -> bytes:
    """The filter of a template and its children: a template may make children."""
    denied = {name: number for name, number in systemcalls.denied(machine).items() if name not in _TEMPLATE}
    return b"".join([*_refusals(machine, denied), _line(_RETURN, _ALLOW)])


def _refusals(machine: str, denied: Mapping[str, int]) -> list[bytes]:
    lines = [
        _line(_LOAD, _OFFSET_ARCH),
        _line(_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _OFFSET_NUMBER),
    ]
    if machine == "x86_64":
        lines += [_line(_AT_LEAST, _X32_BIT, 0, 1), _line(_RETURN, _REFUSE)]
    lines += [_line(_AT_LEAST, systemcalls.FIRST_UNKNOWN, 0, 1), _line(_RETURN, _NOT_THERE)]
    for gap in systemcalls.UNASSIGNED[machine]:
        lines += [_line(_AT_LEAST, gap.stop, 2, 0), _line(_AT_LEAST, gap.start, 0, 1), _line(_RETURN, _NOT_THERE)]
    for number in denied.values():
        lines += [_line(_EQUAL, number, 0, 1), _line(_RETURN, _REFUSE)]
    lines += [_line(_EQUAL, systemcalls.CLONE3, 0, 1), _line(_RETURN, _NOT_THERE)]
    lines += _unless(systemcalls.FCNTL[machine], 1, _is_one_of(_FCNTL))
    lines += _unless(systemcalls.IOCTL[machine], 1, _is_one_of(_IOCTL))
    return lines


def _is_one_of(values: Sequence[int]) -> list[bytes]:
    return [_line(_EQUAL, value, len(values) - at, 0) for at, value in enumerate(values)]


def _unless(number: int, argument: int, tests: Iterable[bytes]) -> list[bytes]:
    """Refuse a call unless this argument (its lower 32 bits) passes a test; a passing test jumps over the refusal."""
    body = [_line(_LOAD, _OFFSET_OF_ARGUMENT[argument]), *tests, _line(_RETURN, _REFUSE), _line(_RETURN, _ALLOW)]
    return [_line(_EQUAL, number, 0, len(body)), *body]


def _line(code: int, operand: int, jump_if: int = 0, jump_else: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_if, jump_else, operand)
