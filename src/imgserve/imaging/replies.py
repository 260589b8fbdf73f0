"""Checks a worker's reply: returns its value or makes the error that it reports. For ``pool``.

A picture may have taken its worker over, so every part of a reply is checked: its kind, the numbers that the server
knew before, and the seals of the result. For a reply that our own code never sends the checks raise WorkerDied, and
the pool kills the worker.
"""

import math
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from imgserve.blob import Blob
from imgserve.errors import ImgserveError, Sentence
from imgserve.imaging.faults import REPORTED, RenderTimeout, WorkerDied
from imgserve.imaging.messages import Failed, Inspected, Made, PageRead, Probed, Reply, Sanitized, TrimBox, Written
from imgserve.request.encode import Format
from imgserve.request.formats import ANIMATED
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.page import MOST_BYTES, Page

_Kind = TypeVar("_Kind", Probed, Written, Made, PageRead, Inspected, TrimBox, Sanitized)
_LONGEST_DETAIL = 500
# An encoder's worst case: eight bytes for each pixel of 16 bits, as many again for data that does not compress, tables,
# a profile (1 MB) and metadata (200 KB).
_BYTES_OF_PIXEL, _BYTES_OF_FRAME, _BYTES_OF_FILE = 16, 2_048, 1_300_000

_MOST_PAGE_BYTES = 3 * MOST_BYTES
_PAGES = msgspec.msgpack.Decoder(Page)


def error_of(reply: Failed) -> ImgserveError:
    kind = RenderTimeout if reply.code == "render_timeout" else REPORTED[reply.code]
    return kind(_shown(reply.detail), _shown_hint(reply.hint)).at(reply.path)


def expect(kind: type[_Kind], reply: Reply) -> _Kind:
    """Raises WorkerDied for another kind."""
    if not isinstance(reply, kind):
        raise distrusted("gave an answer of the wrong kind")
    return reply


def checked_info(info: ImageInfo, limits: Limits) -> ImageInfo:
    """A source's header, checked against the worker's own limits. Raises WorkerDied."""
    sides = (info.width_px, info.height_px)
    is_size = all(math.isfinite(side) and side > 0 for side in sides)
    is_within = info.is_svg or math.prod(sides) <= limits.frame_pixels
    is_upright = 1 <= info.orientation <= 8
    if not is_size or not is_within or not is_upright or not 1 <= info.frames <= limits.frames:
        raise distrusted("reported a size that no picture has")
    return info


def part_of(whole: Size, box: TrimBox) -> Part:
    """Raises WorkerDied if the whole has no such part."""
    is_across = 0 <= box.left < box.left + box.width <= whole.width_px
    is_down = 0 <= box.top < box.top + box.height <= whole.height_px
    if not (is_across and is_down):
        raise distrusted("reported a part that the picture does not have")
    return Part(box.left, box.top, Size(box.width, box.height))


def take_result(result: Blob, written: Written, size: Size | None, output_format: Format, limits: Limits) -> Written:
    """Measure the result. ``size`` None: any within the limits. Returns the reply, safe to show.

    Raises WorkerDied if it could still change, or is not the requested picture.
    """
    size = size or _within(written.size, limits)
    if (written.size, written.format) != (size, output_format):
        raise distrusted("wrote another picture than it was asked for")
    if not result.measure():
        raise distrusted("did not seal its result")
    if not 0 < result.size <= most_bytes(written.size, output_format, limits):
        raise distrusted("wrote a result of a length that the picture cannot have")
    return replace(written, warnings=tuple(replace(each, detail=_shown(each.detail)) for each in written.warnings))


def _within(size: Size, limits: Limits) -> Size | None:
    sides = (size.width_px, size.height_px)
    is_within = min(sides) > 0 and max(sides) <= limits.output_side_px and math.prod(sides) <= limits.output_pixels
    return size if is_within else None


def take_page(result: Blob) -> Page:
    """The page that a worker has read. Raises WorkerDied."""
    if not result.measure():
        raise distrusted("did not seal its result")
    if result.size > _MOST_PAGE_BYTES:
        raise distrusted("reported more than an upload page holds")
    try:
        return _PAGES.decode(result.read())
    except msgspec.DecodeError:
        raise distrusted("reported something that no upload page holds") from None


def take_svg(result: Blob, limits: Limits) -> None:
    """Raises WorkerDied if it could still change, or is longer than an SVG may be."""
    if not result.measure():
        raise distrusted("did not seal its result")
    if not 0 < result.size <= limits.svg_bytes:
        raise distrusted("wrote a result of a length that an SVG cannot have")


def most_bytes(size: Size, output_format: Format, limits: Limits) -> int:
    """An upper bound for a file of this size with all its frames."""
    pixels = size.width_px * size.height_px
    frames = max(1, min(limits.frames, limits.output_pixels // pixels)) if output_format in ANIMATED else 1
    return _BYTES_OF_FILE + frames * (_BYTES_OF_FRAME + _BYTES_OF_PIXEL * pixels)


def distrusted(what: str) -> WorkerDied:
    """The end of a worker whose reply cannot be true."""
    return WorkerDied(f"the render worker {what} and was ended", "try again")


def _shown_hint(hint: Sentence) -> Sentence:
    """The decoder has checked the fields that it names."""
    if isinstance(hint, str):
        return _shown(hint)
    return tuple(_shown(part) if isinstance(part, str) else part for part in hint)


def _shown(text: str) -> str:
    return "".join(letter for letter in text[:_LONGEST_DETAIL] if letter.isprintable())
