"""The directories that file: URLs may reach into, as the operator named them. Called by ``dispatch`` and ``file``.

In: absolute paths. Out: ``Place`` values, and a root's descriptor for the time of one piece of work. A root is opened
anew each time, by its path: an operator renames, replaces and mounts directories while the server runs, and a
descriptor that is kept would go on writing into the directory of yesterday.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from imgserve import descriptors
from imgserve.descriptors import OutOfDescriptors
from imgserve.transfer.faults import RootUnavailable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PATH_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Identity(msgspec.Struct, frozen=True):
    """What tells one directory from another, a mount point from what lies beneath it included."""

    device: int
    inode: int
    mount: int


class Root:
    """One directory. ``trouble`` is a sentence while it cannot be used, else empty."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.trouble = ""
        self._is_mount_point = False

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor for as long as the block runs. Blocks. Raises RootUnavailable, OutOfDescriptors.

        A root that was a mount point and is none now is not used: the file system with the pictures is away, and what
        is written beneath would be hidden when it comes back. A root that becomes a mount point is followed.
        """
        try:
            with descriptors.needed():
                descriptor = os.open(self.path, _PATH_ONLY)
        except OSError as error:
            raise self._unavailable(f"{self.path} cannot be opened: {os.strerror(error.errno or 0)}") from None
        try:
            self._judge(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def look(self) -> None:
        """Bring ``trouble`` up to date. Blocks."""
        try:
            with self.opened():
                pass
        except (RootUnavailable, OutOfDescriptors):
            return

    def _judge(self, descriptor: int) -> None:
        try:
            with descriptors.needed():
                is_mount_point = _is_mount_point(descriptor)
        except OSError as error:
            raise self._unavailable(f"{self.path} cannot be read: {os.strerror(error.errno or 0)}") from None
        if self._is_mount_point and not is_mount_point:
            raise self._unavailable(f"nothing is mounted at {self.path} any more")
        self._is_mount_point = is_mount_point
        self.trouble = ""

    def _unavailable(self, trouble: str) -> RootUnavailable:
        self.trouble = trouble
        return RootUnavailable(
            "The directory of this file: URL is not there at the moment", "the operator mounts or makes it again"
        )


class Place(msgspec.Struct, frozen=True):
    """A path beneath a root: the root, the path relative to it, and both joined."""

    root: Root
    relative: str
    path: str


class Roots:
    """All of one kind, for reading or for writing."""

    def __init__(self, directories: tuple[str, ...]) -> None:
        """Raises RootUnavailable when a directory cannot be opened."""
        # abspath: Path.absolute leaves ".." in, and no path matches it.
        paths = {os.path.abspath(directory) for directory in directories}  # noqa: PTH100
        self._roots = tuple(Root(path) for path in sorted(paths, key=len, reverse=True))
        for root in self._roots:
            with root.opened():
                pass

    def __bool__(self) -> bool:
        return bool(self._roots)

    @property
    def troubles(self) -> tuple[str, ...]:
        """A sentence for each root that could not be used the last time."""
        return tuple(root.trouble for root in self._roots if root.trouble)

    def look(self) -> None:
        """Bring ``troubles`` up to date. Blocks."""
        for root in self._roots:
            root.look()

    def place(self, path: str) -> Place | None:
        """An absolute path, decoded, judged by its text; None when it is beneath no root or not a plain path."""
        if "\0" in path or any(part in (".", "..") for part in path.split("/")):
            return None
        plain = os.path.normpath("/" + path.lstrip("/"))
        for root in self._roots:
            prefix = root.path.rstrip("/") + "/"
            if plain.startswith(prefix):
                return Place(root, plain.removeprefix(prefix), plain)
        return None


def identity(descriptor: int) -> Identity:
    """Raises OSError."""
    status = os.fstat(descriptor)
    return Identity(status.st_dev, status.st_ino, _mount_id(descriptor))


def _is_mount_point(descriptor: int) -> bool:
    above = os.open("..", _PATH_ONLY, dir_fd=descriptor)
    try:
        # The root of all has itself above it, and is the one mount point that cannot go away.
        return _mount_id(above) != _mount_id(descriptor)
    finally:
        os.close(above)


def _mount_id(descriptor: int) -> int:
    """proc(5): ``mnt_id`` of /proc/PID/fdinfo. Two bind mounts of one directory differ in nothing else."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "mnt_id":
            return int(value)
    raise OSError(0, "the kernel tells no mount id")
