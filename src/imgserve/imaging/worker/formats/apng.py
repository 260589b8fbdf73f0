"""Animated PNG: frames, delays and loop from its chunks, and the frames by Pillow, as a viewer shows them.

Called by load and animation.

PNG (third edition), sections 5.3 (chunks), 11.3.6.1 (``acTL``) and 11.3.6.2 (``fcTL``). libvips reads the default image
alone, which a file may show instead of its animation.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.formats import pillow
from imgserve.imaging.worker.source import Data

_FIRST_CHUNK_AT, _CHUNK_BYTES, _BODY_AT = 8, 12, 8
_MOST_BEFORE_PIXELS, _MOST_CHUNKS = 1000, 100_000
_CONTROL, _FRAME, _PIXELS = b"acTL", b"fcTL", b"IDAT"
_DELAY_AT = 20
_MOST_LOOPS = 65_535  # more than any viewer will see, and the most that a WebP holds
_HUNDREDTHS = 100  # a denominator of 0 means this


class Film(NamedTuple):
    """``loop``: how often it is shown, 0 for ever."""

    loop: int
    delays_ms: list[int]


def frames(data: Data) -> int:
    """The number of frames that the header states; 1 for a still picture."""
    for kind, at in islice(_chunks(data), _MOST_BEFORE_PIXELS):
        if kind == _CONTROL:
            return max(1, int.from_bytes(data[at : at + 4], "big"))
        if kind == _PIXELS:
            break
    return 1


def film(data: Data) -> Film:
    loop, delays = 0, []
    for kind, at in islice(_chunks(data), _MOST_CHUNKS):
        if kind == _CONTROL:
            loop = min(int.from_bytes(data[at + 4 : at + 8], "big"), _MOST_LOOPS)
        elif kind == _FRAME:
            above, below = (int.from_bytes(data[at + n : at + n + 2], "big") for n in (_DELAY_AT, _DELAY_AT + 2))
            delays.append(round(1000 * above / (below or _HUNDREDTHS)))
    return Film(loop, delays)


def composed(data: Data, first: int, count: int) -> Iterator[pyvips.Image]:
    """So many frames from ``first`` on, in memory, 8 bits (grey up to 16), in the file's own colours.

    Raises SourceUnreadable.
    """
    from PIL import PngImagePlugin

    with pillow.refused("PNG"):
        picture = PngImagePlugin.PngImageFile(pillow.file(data))
    first += picture.default_image  # which is no frame then
    for number in range(first, first + count):
        with pillow.refused("PNG"):
            picture.seek(number)
            picture.load()
            frame = pillow.converted(picture)
        yield frame


def _chunks(data: Data) -> Iterator[tuple[bytes, int]]:
    """The kind of each chunk, and the position of its contents."""
    at = _FIRST_CHUNK_AT
    while at + _CHUNK_BYTES <= len(data):
        yield bytes(data[at + 4 : at + 8]), at + _BODY_AT
        at += _CHUNK_BYTES + int.from_bytes(data[at : at + 4], "big")
