"""Sees what stands at a destination, as somebody who keeps reloading the picture would. The demo calls it.

The servers of the demo keep what they are sent as files; a watcher looks at one such file every millisecond and keeps
each state that is a whole picture.
"""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import pyvips


class Sighting(NamedTuple):
    """One picture that stood at the destination. ``at`` is seconds of ``time.monotonic``."""

    at: float
    data: bytes
    format: str
    width_px: int
    height_px: int
    is_grey: bool

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px} {self.format}, {len(self.data):,} bytes"


class Watcher:
    """Use as a context manager; the file need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._states: list[tuple[float, bytes]] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch {path.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for_result(self, timeout_s: float) -> list[Sighting]:
        """All pictures seen, once the last of them has colours (placeholders have none), or after the time."""
        deadline = time.monotonic() + timeout_s
        seen: list[Sighting] = []
        examined = 0
        with self._changed:
            while not (seen and not seen[-1].is_grey) and time.monotonic() < deadline:
                self._changed.wait(min(0.2, max(deadline - time.monotonic(), 0.0)))
                fresh, examined = self._states[examined:], len(self._states)
                seen += [sighting for at, data in fresh if (sighting := look_at(at, data)) is not None]
        return seen

    def _watch(self) -> None:
        last: tuple[int, int, int] | None = None
        while not self._stop.wait(0.001):
            try:
                status = self._path.stat()
                state = (status.st_ino, status.st_mtime_ns, status.st_size)
                if state == last or not status.st_size:
                    continue
                data = self._path.read_bytes()
            except FileNotFoundError:
                continue
            last = state
            with self._changed:
                self._states.append((time.monotonic(), data))
                self._changed.notify_all()


def look_at(at: float, data: bytes) -> Sighting | None:
    """What the bytes show, or None when they are not (yet) a whole picture."""
    try:
        picture = pyvips.Image.new_from_buffer(data, "", fail_on="truncated").colourspace("srgb")
        bands = [picture[n].cast("int") for n in range(3)]
        colourfulness = sum((bands[n] - bands[n + 1]).abs().avg() for n in range(2))
    except pyvips.Error:
        return None
    format_name = picture.get("vips-loader").removesuffix("load_buffer").replace("heif", "avif")
    return Sighting(at, data, format_name, picture.width, picture.height, is_grey=colourfulness < 2)
