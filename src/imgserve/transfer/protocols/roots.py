"""The directories that file: URLs may reach into, as the operator named them. Called by ``dispatch`` and ``file``.

In: absolute paths. Out: ``Place`` values, and a root's descriptor for the time of one piece of work. A root is opened
anew each time, by its path: an operator renames, replaces and mounts directories while the server runs, and a
descriptor that is kept would go on writing into the directory of yesterday.
"""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import msgspec

from imgserve import descriptors
from imgserve.descriptors import OutOfDescriptors
from imgserve.transfer.faults import RootUnavailable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PATH_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_OCTAL = re.compile(rb"\\([0-7]{3})")


class Identity(msgspec.Struct, frozen=True):
    """The identity of a directory; a mount point differs from the directory that it covers."""

    device: int
    inode: int
    mount: int


class Root:
    """One directory. ``trouble`` is a sentence while it, or a file system beneath it, cannot be used, else empty."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.trouble = ""
        self._mount_points: frozenset[str] = frozenset()  # on the paths that were opened so far

    @contextmanager
    def opened(self, directory: str = "") -> Iterator[int]:
        """A descriptor for as long as the block runs, for work in this directory of it. Blocks.

        Nothing is read or written where nothing is mounted any more at an earlier mount point on the way: the file
        system with the pictures is away, and new files would be hidden when it comes back. A new mount is followed, and
        so is a symbolic link that now leads elsewhere. Raises RootUnavailable, OutOfDescriptors.
        """
        try:
            with descriptors.needed():
                descriptor = os.open(self.path, _PATH_ONLY)
        except OSError as error:
            raise self._unavailable(f"{self.path} cannot be opened: {os.strerror(error.errno or 0)}") from None
        try:
            self._judge(directory)
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

    def _judge(self, directory: str) -> None:
        try:
            with descriptors.needed():
                mounted = _mount_points()
                lost = self._mount_points - mounted
                if lost:
                    lost -= _mounted_again(lost)
        except OSError as error:
            raise self._unavailable(f"the mount points cannot be read: {os.strerror(error.errno or 0)}") from None
        top, here = os.path.realpath(self.path), os.path.realpath(f"{self.path}/{directory}")
        concerned = sorted(point for point in lost if _is_on_the_way(point, top) or _is_on_the_way(top, point))
        self.trouble = f"nothing is mounted at {concerned[0]} any more" if concerned else ""
        lost_here = sorted(point for point in lost if _is_on_the_way(point, here))
        if lost_here:
            raise self._unavailable(f"nothing is mounted at {lost_here[0]} any more")
        self._mount_points |= {point for point in mounted if _is_on_the_way(point, here)}

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

    def opened_root(self) -> AbstractContextManager[int]:
        """For work in the directory of this place. See ``Root.opened``."""
        return self.root.opened(self.relative.rpartition("/")[0])


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


def _mount_points() -> frozenset[str]:
    """proc(5): the fifth word of each line of /proc/self/mountinfo, in which blanks are octal numbers."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    return frozenset(os.fsdecode(_OCTAL.sub(_byte, line.split(b" ", 5)[4])) for line in lines)


def _mounted_again(points: frozenset[str]) -> frozenset[str]:
    """The mount points after a look into these: an automounter unmounts idle file systems. Raises OSError."""
    for point in points:
        with suppress(OSError):
            os.stat(f"{point}/.")  # noqa: PTH116 - pathlib leaves the dot out, which makes the kernel go in
    return _mount_points()


def _byte(number: "re.Match[bytes]") -> bytes:
    return bytes((int(number[1], 8),))


def _is_on_the_way(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _mount_id(descriptor: int) -> int:
    """proc(5): ``mnt_id`` of /proc/PID/fdinfo. Two bind mounts of one directory differ in nothing else."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "mnt_id":
            return int(value)
    raise OSError(0, "the kernel tells no mount id")
