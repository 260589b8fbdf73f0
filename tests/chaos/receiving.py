"""What destinations were sent, in order: each whole picture told apart by what it shows.

A job of these tests is known by the size of its pictures, and the kind of a picture by its upper left corner: finals
show the red of every source, placeholders the yellow that the jobs ask for, failure pictures are grey.
"""

import ctypes
import io
import os
import select
import struct
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from examples.receivers import Event, Log, digest_of
from PIL import Image, UnidentifiedImageError

from tests.support.sizes import PATIENCE_S

RED, YELLOW, GREY = (200, 16, 16), (224, 224, 0), (140, 140, 140)
KINDS = {RED: "final", YELLOW: "placeholder", GREY: "failed"}
UNSEEN = "unseen"  # came, and was written over before it could be looked at
COLUMNS = 32
PNG_END = b"IEND\xaeB`\x82"

_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE = 0x2, 0x80, 0x100, 0x200
_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Write(NamedTuple):
    """One picture that a destination took. ``place`` is its name there, ``job`` the number that its size tells."""

    place: str
    job: int
    kind: str


def size_of(job: int) -> tuple[int, int]:
    """The size, in pixels, that makes a job's pictures known."""
    return 40 + job % COLUMNS, 30 + job // COLUMNS


def shown(place: str, data: bytes) -> Write:
    """What the picture is. One that is cut off, or none of ours, has job -1."""
    if not data.endswith(PNG_END):  # Pillow does not mind a short file when the missing bytes are few
        return Write(place, -1, f"{len(data)} bytes that are no whole picture")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            corner = picture.convert("RGB").getpixel((0, 0))
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        return Write(place, -1, f"{len(data)} bytes that are no whole picture: {error}")
    kind = next((name for color, name in KINDS.items() if _is_near(corner, color)), f"corner {corner}")
    return Write(place, (height - 30) * COLUMNS + width - 40, kind)


def _is_near(corner: object, color: tuple[int, int, int]) -> bool:
    assert isinstance(corner, tuple)
    return all(abs(one - other) <= 2 for one, other in zip(corner, color, strict=True))


class Arrivals(Log):
    """A receiver's log that keeps the pictures too. ``faults`` names what no destination should ever see."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._writes: list[Write] = []
        self.faults: list[str] = []

    def add(self, event: Event) -> None:
        self._note(event)
        super().add(event)

    def writes(self) -> tuple[Write, ...]:
        return tuple(self._writes)

    def _note(self, event: Event) -> None:
        is_taken = event.kind in ("PUT", "POST") and event.status in (200, 201, 204, 303) and event.is_complete
        place = f"uploads/{event.name}" if event.kind == "POST" else event.name.lstrip("/")
        if event.kind == "STOR" and not Path(event.name).name.startswith("."):
            self.faults.append(f"{event.name} was written in place")
        if event.kind != "RNTO" and not is_taken:
            return
        data = (self._directory / place).read_bytes()
        if digest_of(data) != event.digest:
            self.faults.append(f"{place} was written twice at the same time")
        seen = shown(place, data)
        if event.state and event.state != seen.kind:
            self.faults.append(f"{place}: a {seen.kind} picture was sent as {event.state}")
        self._writes.append(seen)


class FileWatch:
    """The same for directories of this machine: what inotify(7) tells of files that appear in them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._directories: dict[int, tuple[Path, int]] = {}
        self._watched: set[Path] = set()
        self._lying: dict[str, int] = {}
        self._writes: list[Write] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._turn = threading.Lock()
        self.faults: list[str] = []

    def add(self, directory: Path) -> None:
        if directory in self._watched:
            return
        self._watched.add(directory)
        mask = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE
        watch = _libc.inotify_add_watch(self._fd, str(directory).encode(), mask)
        assert watch >= 0, os.strerror(ctypes.get_errno())
        self._directories[watch] = (directory, os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def writes(self) -> tuple[Write, ...]:
        """All that happened before the call."""
        self._read()
        return tuple(self._writes)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for descriptor in (self._fd, *(opened for _, opened in self._directories.values())):
            os.close(descriptor)

    def _watch(self) -> None:
        while not self._stop.is_set():
            if select.select([self._fd], [], [], 0.1)[0]:
                self._read()

    def _read(self) -> None:
        with self._turn:
            while select.select([self._fd], [], [], 0)[0]:
                data = os.read(self._fd, 65_536)
                at = 0
                while at < len(data):
                    watch, mask, _, length = _EVENT.unpack_from(data, at)
                    name = data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0").decode()
                    at += _EVENT.size + length
                    self._happened(*self._directories[watch], name, mask)

    def _happened(self, directory: Path, opened: int, name: str, mask: int) -> None:
        place = str((directory / name).relative_to(self._root))
        if name.startswith(".imgserve-"):
            return
        if mask & _IN_MOVED_TO:
            # Not by its path: tests move directories away.
            opener = partial(os.open, dir_fd=opened)
            with suppress(FileNotFoundError, IsADirectoryError), open(name, "rb", opener=opener) as file:
                self._note(place, os.fstat(file.fileno()).st_ino, shown(place, file.read()))
        elif mask & (_IN_MODIFY | _IN_CREATE | _IN_DELETE):
            self.faults.append(f"{place} was written or deleted in place")

    def _note(self, place: str, inode: int, write: Write) -> None:
        """The same file twice: the one before had been written over already when it was looked at."""
        if self._lying.get(place) == inode:
            last = max(at for at, earlier in enumerate(self._writes) if earlier.place == place)
            self._writes[last] = Write(place, -1, UNSEEN)
        self._lying[place] = inode
        self._writes.append(write)


def until_seen(log: Arrivals | FileWatch, place: str, kind: str, timeout_s: float = PATIENCE_S) -> None:
    ends_at = time.monotonic() + timeout_s
    while not any((write.place, write.kind) == (place, kind) for write in log.writes()):
        assert time.monotonic() < ends_at, f"no {kind} picture came to {place}"
        time.sleep(0.01)
