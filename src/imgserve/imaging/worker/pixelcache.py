"""Decoded pixels of one source, for several renderings of it. Used by load, formats/jpeg and
formats/avif, owned by ``__main__.py``.

The renderings of a batch have one source, and those that decode it at the same scale share one decode. An entry is
exactly what the decoder returned, so a result does not depend on the renderings before it.
"""

from collections.abc import Callable, Hashable
from typing import TypeVar

import pyvips

from imgserve.imaging.worker.formats.dav1d import YuvPlanes
from imgserve.imaging.worker.formats.turbojpeg import Decoded, Planes

MOST_BYTES = 200_000_000  # 50 megapixels of three bands at all four scales of libjpeg
_SAMPLE_BYTES = {"uchar": 1, "char": 1, "ushort": 2, "short": 2}
_MOST_SAMPLE_BYTES = 16

_Pixels = TypeVar("_Pixels", pyvips.Image, Decoded, Planes, YuvPlanes)
_Turbo = TypeVar("_Turbo", Decoded, Planes, YuvPlanes)


class PixelCache:
    """At most ``most_bytes``; the entry that was used the longest ago goes first. With 0 nothing is kept."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._entries: dict[Hashable, tuple[pyvips.Image | Decoded | Planes | YuvPlanes, int]] = {}

    def image(self, key: Hashable, opened: Callable[[], pyvips.Image]) -> pyvips.Image:
        """The image of ``opened``: in memory if it fits into the cache, else as it is. Raises pyvips.Error."""
        kept = self._used(key, pyvips.Image)
        if kept is not None:
            return kept
        image = opened()
        size_bytes = _size_bytes(image)
        if size_bytes <= self._most_bytes:
            self._make_room(size_bytes)
            image = image.copy_memory()
            self._entries[key] = image, size_bytes
        return image

    def decoded(self, key: Hashable, kind: type[_Turbo], decode: Callable[[], _Turbo | None]) -> _Turbo | None:
        """The pixels of ``decode``. None is not kept."""
        kept = self._used(key, kind)
        if kept is not None:
            return kept
        decoded = decode()
        if decoded is not None and decoded.size_bytes <= self._most_bytes:
            self._make_room(decoded.size_bytes)
            self._entries[key] = decoded, decoded.size_bytes
        return decoded

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        self._entries.clear()

    def _used(self, key: Hashable, kind: type[_Pixels]) -> _Pixels | None:
        if key not in self._entries:
            return None
        pixels, _ = self._entries[key] = self._entries.pop(key)
        assert isinstance(pixels, kind), "each decoder has keys of its own"
        return pixels

    def _make_room(self, size_bytes: int) -> None:
        while sum(size for _, size in self._entries.values()) + size_bytes > self._most_bytes:
            del self._entries[next(iter(self._entries))]


class Batches:
    """The cache of the batch at hand."""

    def __init__(self) -> None:
        self._batch = 0
        self._cache = UNCACHED

    def cache(self, batch: int = 0) -> PixelCache:
        """That of this batch; the pixels of every other one are freed. 0: of a rendering without a batch."""
        if batch != self._batch:
            self._batch, self._cache = batch, PixelCache() if batch else UNCACHED
        return self._cache


def _size_bytes(image: pyvips.Image) -> int:
    samples: int = image.width * image.height * image.bands
    return samples * _SAMPLE_BYTES.get(image.format, _MOST_SAMPLE_BYTES)


UNCACHED = PixelCache(0)
