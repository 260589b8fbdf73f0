"""Finds the server that owns a data directory, by its control socket, or by the directory's lock if none answers.

Called by the commands and by ``check``. A process id comes from the kernel, for the socket's other end, so that the
number of a process in a container is never taken for one on this machine.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Literal

import msgspec

from imgserve.api.control_socket import SOCKET_NAME, ServerView
from imgserve.cli.control import Client, NoServer, NotAllowed, Refused, Silent

ANSWER_TIMEOUT_S = 5.0


class Owner(msgspec.Struct, frozen=True):
    """``silent``: it holds the directory and its socket does not answer. ``starting``: it holds the directory and has
    no socket yet, or none any more. ``dead``: it was killed and left its socket behind.

    ``pid`` is 0 when the process cannot be seen from here, as one in a container. ``view`` is there when
    the state is ``running``.
    """

    state: Literal["running", "silent", "starting", "dead", "absent"]
    pid: int = 0
    view: ServerView | None = None


def look(data_dir: Path) -> Owner:
    """Raises NotAllowed when only another user may know."""
    client = Client(data_dir, ANSWER_TIMEOUT_S)
    try:
        view = client.get("/v1/server", ServerView)
    except NotAllowed:
        raise
    except (Silent, Refused):
        return Owner("silent", pid_of(data_dir))
    except NoServer:
        if _is_locked(data_dir / "lock"):
            return Owner("starting", _holder(data_dir / "lock"))
        return Owner("dead" if (data_dir / SOCKET_NAME).exists() else "absent")
    return Owner("running", client.peer_pid, view)


def pid_of(data_dir: Path) -> int:
    """The process that owns the directory, without a call that it would have to answer; 0 when none can be seen."""
    return Client(data_dir).server_pid() or _holder(data_dir / "lock")


def _is_locked(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        raise NotAllowed(lock.parent) from error
    try:
        # Shared, and for a moment only: a server that starts just now tries again (jobs/sqlite/datadir.py).
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _holder(lock: Path) -> int:
    """The process that has flock'ed the file (proc(5), locks); 0 when it cannot be seen.

    The kernel's list names the device of the file system beneath an overlay, so it is searched by inode, and a process
    found there must have the file open.
    """
    with contextlib.suppress(OSError):
        inode = lock.stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[5].endswith(f":{inode}") and _has_open(int(words[4]), lock):
                return int(words[4])
    return 0


def _has_open(pid: int, path: Path) -> bool:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if descriptor.samefile(path):
                return True
    return False
