"""The directories that file: URLs may reach into, as the operator named them. Called by ``dispatch`` and ``file``.

A root is opened anew for each transfer, by its path: an operator renames, replaces and mounts directories while the
server runs, and an old descriptor would write into the old directory.
"""

import math
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from imgserve import descriptors
from imgserve.descriptors import OutOfDescriptors
from imgserve.telemetry.states import LOOK_EVERY_S
from imgserve.transfer.faults import DestinationRefused, RootUnavailable, SourceRefused
from imgserve.transfer.protocols.mounts import MOUNTS

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LOOKED = 10_000
_LOST = "nothing is mounted at {} any more"


class _Looked(NamedTuple):
    """What was found since the table of mounts is this one: when each directory was looked at, and which are quick."""

    mounted: frozenset[str]
    at_s: dict[str, float]
    quick: set[str]


class Root:
    """One directory. ``trouble`` is a sentence while it, or a file system beneath it, cannot be used, else empty."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.trouble = ""
        self._mount_points: frozenset[str] = frozenset()  # on the paths that were opened so far
        self._looked = _Looked(frozenset(), {}, set())

    @contextmanager
    def open(self, directory: str = "") -> Iterator[int]:
        """A descriptor of the root, for work in a directory beneath it. Blocks.

        It is refused where an earlier mount point on the way has nothing mounted any more: the file system with the
        pictures is away, and new files would be hidden when it comes back. A new mount is followed, and so is a
        symbolic link that now leads elsewhere. Raises RootUnavailable, OutOfDescriptors.
        """
        try:
            with descriptors.needed():
                descriptor = os.open(self.path, _DIRECTORY)
        except OSError as error:
            raise self._unavailable(f"{self.path} cannot be opened: {os.strerror(error.errno or 0)}") from None
        try:
            self._check_mounts(directory)
            yield descriptor
        finally:
            os.close(descriptor)

    def found_quick(self, directory: str) -> None:
        """Files there can be read without a wait if the kernel has them in memory. Called while the root is open."""
        self._looked.quick.add(directory)

    def is_quick(self, directory: str) -> bool:
        """Whether that was found, and the directory looked at within the last second. Does not block."""
        try:
            return directory in self._looked.quick and self._is_known(MOUNTS.points(), directory)
        except OSError:
            return False

    def _is_known(self, mounted: frozenset[str], directory: str) -> bool:
        of, at_s, _ = self._looked
        is_known = of is mounted and time.monotonic() - at_s.get(directory, -math.inf) < LOOK_EVERY_S
        return is_known and not self.trouble

    def _check_mounts(self, directory: str) -> None:
        """A directory is looked at once a second at most, and at once when something was mounted or unmounted."""
        try:
            mounted = MOUNTS.points()
            now_s = time.monotonic()
            if self._is_known(mounted, directory):
                return
            lost = self._mount_points - mounted
            if lost:
                lost -= _remounted(lost)
        except OSError as error:
            raise self._unavailable(f"the mount points cannot be read: {os.strerror(error.errno or 0)}") from None
        top, here = os.path.realpath(self.path), os.path.realpath(f"{self.path}/{directory}")
        concerned = sorted(point for point in lost if _is_above(point, top) or _is_above(top, point))
        self.trouble = _LOST.format(concerned[0]) if concerned else ""
        if lost_here := sorted(point for point in lost if _is_above(point, here)):
            raise self._unavailable(_LOST.format(lost_here[0]))
        self._mount_points |= {point for point in mounted if _is_above(point, here)}
        if not lost:
            looked = self._looked  # other threads may put another one there
            if looked.mounted is not mounted or len(looked.at_s) >= _MOST_LOOKED:
                looked = self._looked = _Looked(mounted, {}, set())
            looked.quick.discard(directory)
            looked.at_s[directory] = now_s

    def _unavailable(self, trouble: str) -> RootUnavailable:
        self.trouble = trouble
        return RootUnavailable(
            "The directory of this file: URL is not there at the moment", "the operator mounts or makes it again"
        )


class RootedPath(msgspec.Struct, frozen=True):
    """A path beneath a root. ``relative`` is ``directory`` and ``name``; ``path`` is the absolute one."""

    root: Root
    path: str
    relative: str
    directory: str
    name: str

    def open_root(self) -> AbstractContextManager[int]:
        """See ``Root.open``."""
        return self.root.open(self.directory)


class Roots:
    """The roots of all sources, or of all destinations. ``flag`` opens one, ``fault`` is for paths outside."""

    def __init__(
        self, directories: tuple[str, ...], flag: str, fault: type[SourceRefused | DestinationRefused]
    ) -> None:
        """Raises RootUnavailable when a directory cannot be opened."""
        self._flag = flag
        self._fault = fault
        # abspath: Path.absolute leaves ".." in, and no path matches it.
        paths = {os.path.abspath(directory) for directory in directories}  # noqa: PTH100
        self._roots = tuple(Root(path) for path in sorted(paths, key=len, reverse=True))
        for root in self._roots:
            with root.open():
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
            with suppress(RootUnavailable, OutOfDescriptors), root.open():
                pass

    def locate(self, path: str) -> RootedPath:
        """Find the root of an absolute path, decoded, by its text. Raises SourceRefused or DestinationRefused."""
        is_plain = "\0" not in path and not any(part in (".", "..") for part in path.split("/"))
        plain = os.path.normpath("/" + path.lstrip("/"))
        for root in self._roots if is_plain else ():
            prefix = root.path.rstrip("/") + "/"
            if plain.startswith(prefix):
                relative = plain.removeprefix(prefix)
                directory, _, name = relative.rpartition("/")
                return RootedPath(root, plain, relative, directory, name)
        reason = f"The file is beneath no {self._flag}" if self._roots else f"file: is off without {self._flag}"
        raise self._fault(reason, f"{self._flag} DIR opens a directory")


def identity(descriptor: int) -> tuple[int, int, str]:
    """Device, inode and mount: two bind mounts of one directory differ in the mount only. Raises OSError."""
    status = os.fstat(descriptor)
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text("ascii").splitlines()  # proc(5)
    return status.st_dev, status.st_ino, next(line for line in lines if line.startswith("mnt_id:"))


def _remounted(points: frozenset[str]) -> frozenset[str]:
    """The mount points after a look into these: an automounter unmounts idle file systems. Raises OSError."""
    for point in points:
        with suppress(OSError):
            os.stat(f"{point}/.")  # noqa: PTH116 - pathlib leaves the dot out, which makes the kernel go in
    return MOUNTS.points()


def _is_above(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")
