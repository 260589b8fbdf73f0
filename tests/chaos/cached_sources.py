"""Sources of GETs that change while they are shown, and what may be shown of each at a time.

A version is a number that rises; its content is one of a few pictures, no picture, or no file at all. A request may
show any version from the oldest that was not purged at its beginning to the newest at its end.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.pictures import encoded

ABSENT = -1
NO_PICTURE = -2
WORDS = b"These words are no picture. " * 20
_LARGE_PX = 620


def painted(seed: int, content: int, *, is_large: bool) -> Image.Image:
    """A frame of one colour, which a trim takes away, around blocks or noise: no two look alike, nor have one size."""
    chance = np.random.default_rng([seed, content])
    side = _LARGE_PX if is_large else 6
    pixels = chance.integers(0, 256, (side, side + 2, 3), dtype=np.uint8)
    size = (side + 2, side) if is_large else (120 + 8 * content, 90 + 8 * ((seed + content) % 5))
    inner = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
    picture = Image.new("RGB", (inner.width + 20, inner.height + 20), (255, 255, 255))
    picture.paste(inner, (10, 10))
    return picture


class Asking:
    """A request under way: ``oldest`` is the first version that it may show."""

    def __init__(self, oldest: int) -> None:
        self.oldest = oldest
        self.newest = oldest
        self.contents: frozenset[int] = frozenset()


class Source:
    """``is_asked``: the server asks for it on each GET, so that a change is seen without a purge."""

    def __init__(self, name: str, url: str, path: Path, pictures: tuple[bytes, ...], *, is_asked: bool = False) -> None:
        self.name, self.url, self.path = name, url, path
        self._pictures = pictures
        self._is_asked = is_asked
        self._lock = threading.Lock()
        self._contents: list[int] = []  # of each version, from the moment on in which it may be there
        self._written = -1  # the version that has taken the place of all before it
        self._purged = 0
        self._purged_targets: dict[str, int] = {}
        self._asking: list[Asking] = []
        self.write(0)

    @property
    def content(self) -> int:
        return self._contents[-1]

    @property
    def written(self) -> int:
        with self._lock:
            return self._written

    def bytes_of(self, content: int) -> bytes | None:
        return {ABSENT: None, NO_PICTURE: WORDS}.get(content) if content < 0 else self._pictures[content]

    def write(self, content: int) -> None:
        """In one step, as a program does that lets nobody read half a file."""
        self.begin(content)
        data = self.bytes_of(content)
        if data is None:
            self.path.unlink(missing_ok=True)
        else:
            part = self.path.with_suffix(".part")
            part.write_bytes(data)
            part.rename(self.path)
        self.wrote()

    def begin(self, content: int) -> None:
        """A new version may be seen from now on."""
        with self._lock:
            self._contents.append(content)

    def wrote(self) -> None:
        """No older version is at the source's place any more."""
        with self._lock:
            self._written = len(self._contents) - 1

    def purged(self, version: int, target: str = "") -> None:
        """A purge has returned that was asked for when ``version`` had been written: of one URL, or of all."""
        with self._lock:
            if target:
                self._purged_targets[target] = max(self._purged_targets.get(target, 0), version)
            else:
                self._purged = max(self._purged, version)

    @contextmanager
    def asking(self, target: str) -> Iterator[Asking]:
        """Equal work is shared, so where sources are asked a request may get what an earlier one is being given."""
        with self._lock:
            oldest = max(self._purged, self._purged_targets.get(target, 0))
            if self._is_asked:
                oldest = min([max(oldest, self._written), *(other.oldest for other in self._asking)])
            asking = Asking(oldest)
            self._asking.append(asking)
        try:
            yield asking
        finally:
            with self._lock:
                self._asking.remove(asking)

    def seen_by(self, asking: Asking) -> frozenset[int]:
        """The contents that the request may show, now that it is answered."""
        with self._lock:
            asking.newest = len(self._contents) - 1
            asking.contents = frozenset(self._contents[asking.oldest :])
            return asking.contents


def pictures_of(seed: int, number: int, *, is_large: bool) -> tuple[bytes, ...]:
    kind = "png" if is_large or seed % 2 else "jpeg"
    return tuple(encoded(painted(seed, content, is_large=is_large), kind) for content in range(number))
