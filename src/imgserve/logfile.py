"""The log file of a detached server: grows to a size, is renamed to ``.1``, and can be opened anew for logrotate.

stdout and stderr lead to it too, so that the last words of a library are not lost. Made by ``daemon``, written by
``logs``.
"""

import contextlib
import os
import sys
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

import msgspec


class Config(msgspec.Struct, frozen=True):
    """``keep`` old files beside the one that is written; with 0 of them, or ``max_bytes`` 0, it grows without end."""

    file: str = ""
    max_bytes: int = 10_000_000
    keep: int = 5


class LogFile(RotatingFileHandler):
    """A handler for ``logs.start``; ``reopen`` after somebody else has renamed the file."""

    def __init__(self, config: Config) -> None:
        """Raises OSError."""
        limit = config.max_bytes if config.keep else 0
        super().__init__(config.file, maxBytes=limit, backupCount=config.keep, encoding="utf-8")

    def reopen(self) -> None:
        """Raises OSError, and then goes on with the file that is open."""
        with self.lock or contextlib.nullcontext():
            old, self.stream = self.stream, self._open()
            if old is not None:
                old.close()

    def doRollover(self) -> None:
        """A directory that we may not write to (any more) must not cost us the log."""
        try:
            super().doRollover()
        except OSError:
            if self.stream is None:  # it was closed for the renaming
                self.stream = self._open()

    def _open(self) -> TextIOWrapper:
        # Not for everybody to read: what was posted, and where it went, is in it.
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        stream = os.fdopen(descriptor, "a", encoding=self.encoding)
        for standard in (sys.stdout, sys.stderr):
            standard.flush()
            os.dup2(stream.fileno(), standard.fileno())
        return stream


def prepare(path: Path, owner: tuple[int, int] | None) -> None:
    """Make the directory; file and directory belong to ``owner`` (uid, gid), if they are made here. Raises OSError."""
    made = [place for place in (path.parent, path) if not place.exists()]
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    path.touch(mode=0o640)
    if owner is not None:
        for place in made:
            os.chown(place, *owner)
