"""Writes one picture to a file, or deletes it. No reader and no power cut sees half a file.

The picture goes to a temporary name in its directory, is synced and renamed over the target; then the directory is
synced. Blocking; ``file`` calls it in a thread.
"""

import errno
import os
import stat
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress

from imgserve import descriptors, failpoint
from imgserve.blob import Blob, Fingerprint
from imgserve.transfer.faults import DeliveryFailed, NotOurs, RootUnavailable
from imgserve.transfer.protocols.beneath import open_beneath
from imgserve.transfer.protocols.file_rights import Rights
from imgserve.transfer.protocols.roots import RootedPath, identity
from imgserve.transfer.write import Write

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
# Each new directory costs two syncs, and real destinations are not this deep.
_MAX_MISSING = 64


def store(path: RootedPath, blob: Blob, write: Write, renaming: Future[None]) -> None:
    """Write the picture; leave everything as it is if ``renaming`` was cancelled.

    Raises OSError, RootUnavailable, DeliveryFailed, NotOurs.
    """
    with path.open_root() as root:
        _make_directory(root, path.directory)
        with open_beneath(root, path.directory, _DIRECTORY) as parent:
            for leftover in (*write.leftover_names, write.temporary_name):
                with suppress(FileNotFoundError):
                    os.unlink(leftover, dir_fd=parent)
            try:
                _fill(parent, write.temporary_name, blob, Rights.of(parent, path.name))
                failpoint.reach("file_written")
                if write.only_over is not None:
                    _check_replaceable(parent, path.name, blob, write.only_over)
                if not renaming.set_running_or_notify_cancel():
                    raise TimeoutError
                os.rename(write.temporary_name, path.name, src_dir_fd=parent, dst_dir_fd=parent)
            except (OSError, NotOurs):
                with suppress(OSError):
                    os.unlink(write.temporary_name, dir_fd=parent)
                raise
            os.fsync(parent)
            _check_directory(path, parent)


def delete(path: RootedPath, write: Write) -> None:
    """A missing file counts as deleted. Raises OSError, RootUnavailable, NotOurs."""
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        path.open_root() as root,
        open_beneath(root, path.directory, _DIRECTORY) as parent,
    ):
        if write.only_over is not None:
            _check_ours(parent, path.name, write.only_over)
        os.unlink(path.name, dir_fd=parent)
        os.fsync(parent)


def size_of(path: RootedPath) -> int | None:
    """The size of a regular file, 0 of anything else; None if nothing is there. Raises OSError, RootUnavailable."""
    with _existing(path, os.O_PATH | os.O_NOFOLLOW) as descriptor:
        if descriptor is None:
            return None
        status = os.fstat(descriptor)
        return status.st_size if stat.S_ISREG(status.st_mode) else 0


def fingerprint_of(path: RootedPath) -> Fingerprint | None:
    """Of a regular file; None if there is none. Raises OSError, RootUnavailable."""
    with _existing(path, _READ) as descriptor:
        if descriptor is None or not stat.S_ISREG((status := os.fstat(descriptor)).st_mode):
            return None
        return Fingerprint.of(os.pread(descriptor, status.st_size, 0))


@contextmanager
def _existing(path: RootedPath, flags: int) -> Iterator[int | None]:
    """A descriptor of what is there; None if nothing is. Raises OSError, RootUnavailable."""
    with ExitStack() as held:
        try:
            root = held.enter_context(path.open_root())
            parent = held.enter_context(open_beneath(root, path.directory, _DIRECTORY))
            descriptor = held.enter_context(open_beneath(parent, path.name, flags))
        except (FileNotFoundError, NotADirectoryError):
            descriptor = None
        yield descriptor


def _check_ours(parent: int, name: str, *ours: Fingerprint) -> None:
    """Raises NotOurs when the file is another one, OSError when there is none."""
    with open_beneath(parent, name, _READ) as descriptor:
        status = os.fstat(descriptor)
        longest = max(one.size_bytes for one in ours)
        is_plain = stat.S_ISREG(status.st_mode) and status.st_size <= longest
        if not is_plain or Fingerprint.of(os.pread(descriptor, longest, 0)) not in ours:
            raise NotOurs("The destination holds another file than imgserve's placeholder")


def _check_replaceable(parent: int, name: str, blob: Blob, placeholder: Fingerprint) -> None:
    """A write that is repeated after a crash finds its own picture. Raises NotOurs."""
    try:
        _check_ours(parent, name, placeholder, blob.fingerprint())
    except FileNotFoundError:
        raise NotOurs("Imgserve's placeholder is no longer at the destination") from None


def _fill(parent: int, name: str, blob: Blob, old: Rights | None) -> None:
    """Write and sync a new file with the rights of the old one, and its owner where the server may change it."""
    with open_beneath(parent, name, _CREATE, 0o666 if old is None else 0o600) as descriptor:
        if old is not None:
            old.give(descriptor)
        position = 0
        while position < blob.size:
            sent = os.sendfile(descriptor, blob.fd, position, blob.size - position)
            if sent == 0:
                raise OSError(errno.EIO, "the result is shorter than it was")
            position += sent
        os.fsync(descriptor)


def _check_directory(path: RootedPath, parent: int) -> None:
    """Raises RootUnavailable if a directory on the way was renamed or mounted over during the write."""
    is_same = False
    with (
        path.open_root() as root,
        suppress(OSError),
        descriptors.needed(),
        open_beneath(root, path.directory, os.O_PATH | os.O_DIRECTORY) as now,
    ):
        is_same = identity(now) == identity(parent)
    if not is_same:
        raise RootUnavailable("The destination's directory was replaced while the picture was written")


def _make_directory(root: int, relative: str, missing: int = 0) -> None:
    """Make the directory, and those above it, where they are missing. Each new one is synced into its parent."""
    with suppress(FileNotFoundError), open_beneath(root, relative, _DIRECTORY):
        return
    if missing >= _MAX_MISSING:
        raise DeliveryFailed(f"More than {_MAX_MISSING} directories of the path are missing", "make them first")
    above, _, name = relative.rpartition("/")
    _make_directory(root, above, missing + 1)
    with open_beneath(root, above, _DIRECTORY) as parent:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
        os.fsync(parent)
