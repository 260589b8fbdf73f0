"""The pid file: its lock says for certain whether a server runs, its content which one.

The first line is the pid, the second JSON (``Note``). It is valid only while the file is locked: the lock ends with the
server's process, however that ends, and no worker inherits it. ``detach`` holds it, ``cli/server.py`` reads it.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Literal

import msgspec

from imgserve.errors import ImgserveError

_TRIES = 5
_PAUSE_S = 0.02  # a process that reads holds the lock for a moment too


class AlreadyRunning(ImgserveError):
    """A server holds this pid file."""


class Note(msgspec.Struct, frozen=True):
    """``url`` is empty until the server listens."""

    url: str = ""
    data_dir: str = ""


class Seen(msgspec.Struct, frozen=True):
    """``dead``: a killed server has left the file behind. ``pid`` is 0 unless ``running``."""

    state: Literal["running", "dead", "absent"]
    pid: int = 0
    note: Note = Note()


class PidFile:
    """Held from ``take`` until ``release`` or the end of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> "PidFile":
        """Raises AlreadyRunning, OSError."""
        for _ in range(_TRIES):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            with contextlib.ExitStack() as undo:
                undo.callback(os.close, descriptor)
                if not _locks(descriptor, fcntl.LOCK_EX):
                    time.sleep(_PAUSE_S)
                elif _is_at(descriptor, path):  # not one that its server has just removed
                    os.ftruncate(descriptor, 0)
                    undo.pop_all()
                    return cls(path, descriptor)
        raise AlreadyRunning(
            f"imgserve is already running with pid {look(path).pid}, says {path}",
            "stop it, or give this one its own --pid-file, --port and --data-dir",
        )

    def write(self, note: Note) -> None:
        text = b"%d\n%s\n" % (os.getpid(), msgspec.json.encode(note))
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def release(self) -> None:
        """Remove the file or, where its directory does not allow that, leave it empty, which means the same."""
        os.ftruncate(self._descriptor, 0)
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)


def look(path: Path) -> Seen:
    """The server that holds the file. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Seen("absent")
    with contextlib.closing(os.fdopen(descriptor, "rb")) as file:
        for _ in range(_TRIES):
            is_free = _locks(descriptor, fcntl.LOCK_SH)
            first, _, second = file.read().partition(b"\n")
            if is_free:
                return Seen("dead" if first else "absent")
            if second:
                return Seen("running", int(first), msgspec.json.decode(second, type=Note))
            time.sleep(_PAUSE_S)  # the server holds the lock and has not written yet
            file.seek(0)
    raise AlreadyRunning(f"a server holds {path} and has not written its pid", "try again")


def _locks(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)
