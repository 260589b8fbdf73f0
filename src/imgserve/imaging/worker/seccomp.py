"""A seccomp filter that takes from the whole process the system calls that a codec has no use for.

Called by ``sandbox.py``. A list of denials, for lists of allowed calls break with the next libc. Numbers: the kernel's
syscall tables for x86-64 and arm64; layout: linux/seccomp.h, linux/filter.h.
"""

import ctypes
import errno
import os
import platform
import struct

_SYSTEM_CALL_SECCOMP = {"x86_64": 317, "aarch64": 277}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SET_MODE_FILTER, _FLAG_TSYNC = 1, 1
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE, _NOT_THERE = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_FIRST_ARGUMENT = 0, 4, 16
_CLONE_THREAD = 0x00010000
_X32_BIT = 0x40000000

# fmt: off
_DENIED: dict[str, tuple[int, ...]] = {
    "x86_64": (
        41, 42, 43, 46, 49, 50, 53, 288, 307,       # socket connect accept sendm(m)sg bind listen socketpair accept4
        57, 58, 59, 322,                            # fork vfork execve execveat
        62, 129, 200, 297, 424, 434, 438,           # kill rt_sigqueueinfo tkill rt_tgsigqueueinfo pidfd_*
        101, 310, 311, 312, 440, 448,               # ptrace process_vm_* kcmp process_madvise process_mrelease
        425, 426, 427, 321, 298, 323,               # io_uring_* bpf perf_event_open userfaultfd
        76, 82, 83, 84, 85, 86, 87, 88, 133, 258, 259, 263, 264, 265, 266, 316,  # truncate rename mkdir link unlink…
        90, 91, 92, 93, 94, 132, 235, 260, 261, 268, 280, 452,                   # chmod chown utime…
        188, 189, 190, 197, 198, 199,               # xattr
        155, 161, 165, 166, 272, 308, 428, 429, 430, 432, 442,                   # pivot_root chroot mount namespaces
        29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 240, 241,                        # System V and POSIX queues
        248, 249, 250, 303, 304, 300, 301, 319, 447,  # keys handles fanotify memfd
        105, 106, 113, 114, 116, 117, 119, 122, 123, 135, 141, 142, 144, 203,              # ids, scheduling
        103, 163, 164, 167, 168, 169, 170, 171, 172, 173, 175, 176, 179, 227, 246, 305, 313, 320,  # the machine
    ),
    "aarch64": (
        198, 199, 200, 201, 202, 203, 211, 242, 269,
        221, 281,
        129, 130, 138, 240, 424, 434, 438,
        117, 270, 271, 272, 440, 448,
        425, 426, 427, 280, 241, 282,
        33, 34, 35, 36, 37, 38, 45, 276,
        52, 53, 54, 55, 88, 452,
        5, 6, 7, 14, 15, 16,
        41, 51, 39, 40, 97, 268, 428, 429, 430, 432, 442,
        180, 181, 182, 183, 186, 187, 188, 189, 190, 191, 192, 193, 194, 195, 196,
        217, 218, 219, 262, 263, 264, 265, 279, 447,
        92, 118, 119, 122, 140, 143, 144, 145, 146, 147, 149, 151, 152, 159,
        60, 89, 104, 105, 106, 112, 116, 142, 161, 162, 170, 171, 224, 225, 266, 273, 294,
    ),
}
# clone, clone3, tgkill, prlimit64: refused only for some arguments
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_TGKILL = {"x86_64": 234, "aarch64": 131}
_PRLIMIT = {"x86_64": 302, "aarch64": 261}
# fmt: on

_libc = ctypes.CDLL(None, use_errno=True)


class SeccompUnavailable(Exception):
    """The kernel takes no filter, or this is a processor whose numbers are not known."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict() -> None:
    """Install the filter in every thread of this process. NO_NEW_PRIVS must be set. Raises SeccompUnavailable."""
    machine = platform.machine()
    if machine not in _DENIED:
        raise SeccompUnavailable(f"the system call numbers of {machine} are not known")
    code = _program(machine, os.getpid())
    program = _Program(len(code) // 8, code)
    number = ctypes.c_long(_SYSTEM_CALL_SECCOMP[machine])
    result: int = _libc.syscall(number, _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(program))
    if result != 0:
        reason = os.strerror(ctypes.get_errno()) if result < 0 else f"thread {result} could not be included"
        raise SeccompUnavailable(reason)


def _program(machine: str, pid: int) -> bytes:
    """The filter in the kernel's form: eight bytes an instruction (code u16, jump-if u8, jump-else u8, operand u32)."""
    lines = [
        _line(_LOAD, _OFFSET_ARCH),
        _line(_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _OFFSET_NUMBER),
    ]
    if machine == "x86_64":
        lines += [_line(_AT_LEAST, _X32_BIT, 0, 1), _line(_RETURN, _REFUSE)]
    for number in _DENIED[machine]:
        lines += [_line(_EQUAL, number, 0, 1), _line(_RETURN, _REFUSE)]
    lines += [_line(_EQUAL, _CLONE3, 0, 1), _line(_RETURN, _NOT_THERE)]
    # a thread may be made, a process may not
    lines += _unless_argument(_CLONE[machine], [_line(_HAS_BITS, _CLONE_THREAD, 1, 0)])
    # abort() signals its own process; nobody else is to be reached
    lines += _unless_argument(_TGKILL[machine], [_line(_EQUAL, pid, 1, 0)])
    lines += _unless_argument(_PRLIMIT[machine], [_line(_EQUAL, 0, 2, 0), _line(_EQUAL, pid, 1, 0)])
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def _unless_argument(number: int, tests: list[bytes]) -> list[bytes]:
    """Refuse a call unless its first argument passes a test; a passing test jumps over the refusal."""
    body = [_line(_LOAD, _OFFSET_FIRST_ARGUMENT), *tests, _line(_RETURN, _REFUSE), _line(_RETURN, _ALLOW)]
    return [_line(_EQUAL, number, 0, len(body)), *body]


def _line(code: int, operand: int, jump_if: int = 0, jump_else: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_if, jump_else, operand)
