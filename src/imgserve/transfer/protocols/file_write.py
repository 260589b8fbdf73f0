"""Write one picture to a file so that no reader sees half of it and no power cut leaves less than a whole one.

It goes to a temporary name in its directory, is synced, renamed over the target, and the directory synced. Blocking;
called by ``file`` in a thread of its own.
"""

import errno
import os
import stat
import threading
from contextlib import suppress

from imgserve import descriptors, failpoint
from imgserve.blob import Blob, Fingerprint
from imgserve.transfer.faults import DeliveryFailed, NotOurs, RootUnavailable
from imgserve.transfer.protocols.beneath import open_beneath
from imgserve.transfer.protocols.file_rights import Rights
from imgserve.transfer.protocols.roots import DIRECTORY, Place, identity
from imgserve.transfer.write import Write

# Each one made costs two syncs, and nobody's results lie deeper.
_MOST_MISSING = 64


class Gate:
    """Decides between a thread that is about to rename and a caller whose time is over: the first one wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_given_up = False
        self._is_through = False

    @property
    def is_given_up(self) -> bool:
        return self._is_given_up

    def pass_through(self) -> bool:
        """By the thread, before the step that shows. False: leave everything as it is."""
        with self._lock:
            self._is_through = not self._is_given_up
            return self._is_through

    def give_up(self) -> bool:
        """By the caller. False: too late, the step may have been taken."""
        with self._lock:
            self._is_given_up = True
            return not self._is_through


def store(place: Place, blob: Blob, write: Write, gate: Gate) -> None:
    """Raises OSError, RootUnavailable, DeliveryFailed, NotOurs; TimeoutError when the caller has given up."""
    directory, _, name = place.relative.rpartition("/")
    with place.opened_root() as root:
        parent = _directory(root, directory)
    try:
        for leftover in (*write.leftover_names, write.temporary_name):
            with suppress(FileNotFoundError):
                os.unlink(leftover, dir_fd=parent)
        try:
            _fill(parent, write.temporary_name, blob, Rights.of(parent, name))
            failpoint.reach("file_written")
            _check_replaceable(parent, name, blob, write)
            if not gate.pass_through():
                raise TimeoutError
            os.rename(write.temporary_name, name, src_dir_fd=parent, dst_dir_fd=parent)
        except (OSError, NotOurs):
            with suppress(OSError):
                os.unlink(write.temporary_name, dir_fd=parent)
            raise
        os.fsync(parent)
        _check_still_there(place, directory, parent)
    finally:
        os.close(parent)


def check_ours(parent: int, name: str, *ours: Fingerprint) -> None:
    """Raises NotOurs when something else lies there, OSError when nothing does."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        status = os.fstat(descriptor)
        longest = max(one.size_bytes for one in ours)
        is_plain = stat.S_ISREG(status.st_mode) and status.st_size <= longest
        if not is_plain or Fingerprint.of(os.pread(descriptor, longest, 0)) not in ours:
            raise NotOurs("Something else than imgserve's placeholder lies at the destination")
    finally:
        os.close(descriptor)


def _check_replaceable(parent: int, name: str, blob: Blob, write: Write) -> None:
    """A write that was repeated after a crash finds its own picture. Raises NotOurs."""
    if write.only_over is None:
        return
    try:
        check_ours(parent, name, write.only_over, Fingerprint.of(blob.read()))
    except FileNotFoundError:
        raise NotOurs("Imgserve's placeholder is no longer at the destination") from None


def _fill(parent: int, name: str, blob: Blob, old: Rights | None) -> None:
    """Write and sync a new file. It gets the rights of the old one, and its owner where the server may give it away."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o666 if old is None else 0o600, dir_fd=parent)
    try:
        if old is not None:
            old.give(descriptor)
        position = 0
        while position < blob.size:
            sent = os.sendfile(descriptor, blob.fd, position, blob.size - position)
            if sent == 0:
                raise OSError(errno.EIO, "the result is shorter than it was")
            position += sent
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_still_there(place: Place, directory: str, parent: int) -> None:
    """The picture lies where its URL leads to: no directory on the way was renamed or mounted over meanwhile.

    Raises RootUnavailable.
    """
    with place.opened_root() as root:
        try:
            with descriptors.needed():
                now = open_beneath(root, directory, os.O_PATH | DIRECTORY)
            try:
                with descriptors.needed():
                    is_same = identity(now) == identity(parent)
            finally:
                os.close(now)
        except OSError:
            is_same = False
    if not is_same:
        raise RootUnavailable("The destination's directory was replaced while the picture was written")


def _directory(root: int, relative: str) -> int:
    """The directory, made if missing; each one made is synced into its parent. The caller owns the descriptor."""
    names = relative.split("/")
    known = len(names)
    while True:
        try:
            descriptor = open_beneath(root, "/".join(names[:known]), DIRECTORY)
            break
        except FileNotFoundError:
            known -= 1
            if len(names) - known > _MOST_MISSING:
                raise DeliveryFailed(
                    f"More than {_MOST_MISSING} directories of the destination's path are missing", "make them first"
                ) from None
    for end in range(known, len(names)):
        try:
            with suppress(FileExistsError):
                os.mkdir(names[end], 0o777, dir_fd=descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        descriptor = open_beneath(root, "/".join(names[: end + 1]), DIRECTORY)
    return descriptor
