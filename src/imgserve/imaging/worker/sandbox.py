"""The sandbox: a worker gives up its rights before it reads the first byte of a stranger's picture.

Called by ``__main__.py`` and ``template.py``. ``give_up_privileges`` comes first; then ``close_files``, while the
process has one thread (Landlock binds threads one by one); then the warm-up, which may start codec threads; then
``close_system_calls``, which binds all threads.
"""

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from imgserve.imaging.abilities import HEIC_MODULES
from imgserve.imaging.worker import landlock, seccomp
from imgserve.imaging.worker.systemcalls import Unavailable

Mode = Literal["auto", "require", "off"]

_PACKAGE = str(Path(__file__).parents[2])
_STANDARD_LIBRARY = str(Path(os.__file__).parent)
# Fonts for the text in SVGs, and files that libc may still load (character sets, libgcc for aborting threads).
# Nothing of /proc: a worker opens the file with its memory figures before.
# Python's own library: the reader of upload pages, and its codecs, are imported when the first page comes.
READABLE = (
    "/etc/fonts", "/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/fontconfig", "/var/cache/fontconfig",
    "/usr/lib", "/lib", "/lib64", "/dev/null", "/dev/urandom", "/sys/devices/system/cpu", _PACKAGE,
    _STANDARD_LIBRARY,
)  # fmt: skip
# Imported with the first picture that needs them: the packages, and what their wheels put beside them.
_IMPORTED_LATE = ("PIL", "py_svg_hush", *(f"{start}{name}" for name in HEIC_MODULES for start in ("", "_")))
_LIBRARIES = ("pillow.libs", "pi_heif_decoder.libs", "pi_heif.libs", "pillow_heif.libs")
MAX_FILE_BYTES = 1 << 30
MAX_OPEN_FILES = 32  # few, since a compromised worker may keep pictures open
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 24, 38, 47
_AMBIENT_CLEAR_ALL = 4
_OFF = "off: switched off by the server"
_CAPABILITY_VERSION_3, _MOST_CAPABILITIES = 0x20080522, 64

_libc = ctypes.CDLL(None, use_errno=True)


class SandboxImpossible(Exception):
    """``sandbox = require``, and this kernel or container lacks a part of the sandbox."""


Files = int | str  # the descriptor of the rules for files, or the reason why there are none


def give_up_privileges(memory_limit_bytes: int) -> None:
    """Limits, no new privileges, no capabilities, death with the parent."""
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, signal.SIG_IGN)
    die_with_parent()
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0) != 0:
        raise SandboxImpossible("the kernel does not let a process give up new privileges")
    _drop_capabilities()
    _lower(resource.RLIMIT_AS, memory_limit_bytes)
    _lower(resource.RLIMIT_FSIZE, MAX_FILE_BYTES)
    _lower(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    _lower(resource.RLIMIT_CORE, 0)


def die_with_parent() -> None:
    """To be exact, with the thread that started this process. A forked child must call it again."""
    _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)


def offer_to_die_first() -> None:
    """Have the kernel kill this worker, not the server, when memory runs out."""
    with contextlib.suppress(OSError):
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "w") as file:
            file.write("1000")


def _drop_capabilities() -> None:
    """The workers of a server that runs as root own root's files, but have no other power of root."""
    _libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_AMBIENT_CLEAR_ALL), 0, 0, 0)
    for number in range(_MOST_CAPABILITIES):  # fails for those that do not exist, and for all where none is held
        _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0)
    header, held = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if _libc.capget(header, held) == 0 and not any(held):
        return  # a systemd unit may forbid the call even if nothing would change
    if _libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise SandboxImpossible("the kernel does not let a process drop its capabilities")


def rules_for_files(mode: Mode, font_dirs: Sequence[str] = (), changeable: Sequence[str] = ()) -> Files:
    """Rules that deny every file but :data:`READABLE`, late imports, ``font_dirs`` and ``changeable``.

    Raises SandboxImpossible.
    """
    if mode == "off":
        return _OFF
    try:
        code, folders = _of_late_imports()
        return landlock.ruleset((*READABLE, *code, *font_dirs), changeable, folders)
    except Unavailable as error:
        return _without(mode, "landlock", error)


def _of_late_imports() -> tuple[list[str], list[str]]:
    """The code that may be imported later, and the folders that an import lists."""
    places = {name: spec.origin for name in _IMPORTED_LATE if (spec := find_spec(name)) and spec.origin}
    packages = [path.parent if path.name == "__init__.py" else path for path in map(Path, places.values())]
    folders = sorted({path.parent for path in packages})
    libraries = [folder / name for folder in folders for name in _LIBRARIES]
    return [str(path) for path in (*packages, *libraries)], [str(folder) for folder in folders]


def close_files(mode: Mode, files: Files) -> str:
    """Bind this process to the rules. Returns ``landlock`` or ``off: reason``; raises SandboxImpossible."""
    if isinstance(files, str):
        return files
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - names are all that is wanted
        return _without(mode, "landlock", "the worker has started threads too early")
    try:
        landlock.restrict(files)
    except Unavailable as error:
        return _without(mode, "landlock", error)
    finally:
        os.close(files)
    return "landlock"


def close_system_calls(mode: Mode, *, is_template: bool = False) -> str:
    """Deny sockets, processes, signals. Returns ``seccomp`` or ``off: reason``; raises SandboxImpossible.

    A template may still fork, and close its children's sandboxes.
    """
    if mode == "off":
        return _OFF
    try:
        seccomp.restrict(is_template=is_template)
    except Unavailable as error:
        return _without(mode, "seccomp", error)
    return "seccomp"


def silence() -> None:
    """Close stderr: from here on its text would be a stranger's."""
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - opened by number, not by path
        os.dup2(nothing.fileno(), 2)


def state(files: str, system_calls: str) -> str:
    """One line for log and /health: ``landlock+seccomp``, or the missing part and the reason."""
    if files == system_calls:
        return files
    return "+".join((files, system_calls)) if "off" not in files + system_calls else f"{files}; {system_calls}"


def _without(mode: Mode, part: str, reason: object) -> str:
    what = f"{part} is not available here ({reason})"
    if mode != "require":
        return f"off: {what}"
    raise SandboxImpossible(f"{what}, and this server will not render without it; allow it in the container or kernel")


def _lower(limit: int, value: int) -> None:
    _soft, hard = resource.getrlimit(limit)
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (ceiling, ceiling))
