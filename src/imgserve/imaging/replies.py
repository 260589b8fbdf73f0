"""Checks a worker's reply: returns its value or makes the error that it reports. For ``pool``.

A picture may have taken its worker over, so every part of a reply is checked: its kind, the numbers that the server
knew before, and that the result can change no more.
"""

import math
from typing import TypeVar

import msgspec

from imgserve.blob import Blob
from imgserve.errors import ImgserveError, Sentence
from imgserve.imaging.faults import (
    PageUnreadable,
    PictureTooLarge,
    RenderFailed,
    SourceUnreadable,
    SvgInvalid,
    WorkerDied,
)
from imgserve.imaging.messages import Failed, FaultCode, PageRead, Probed, Reply, Written
from imgserve.imaging.process import Child
from imgserve.request.formats import ANIMATED
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.page import MOST_BYTES, Page
from imgserve.request.recipe import Format

_Kind = TypeVar("_Kind", Probed, Written, PageRead)
_FAULTS: dict[FaultCode, type[ImgserveError]] = {
    "source_unreadable": SourceUnreadable,
    "svg_invalid": SvgInvalid,
    "picture_too_large": PictureTooLarge,
    "render_failed": RenderFailed,
    "page_unreadable": PageUnreadable,
}
_LONGEST_DETAIL = 500
# An encoder's worst case: four bytes for each pixel, as many again for data that does not compress, and tables.
_BYTES_OF_PIXEL, _BYTES_OF_FRAME, _BYTES_OF_FILE = 8, 2_048, 65_536

_MOST_PAGE_BYTES = 3 * MOST_BYTES
_PAGES = msgspec.msgpack.Decoder(Page)


class Distrusted(Exception):
    """The worker sent a reply that our own code never sends. The pool kills it."""


def fault_of(reply: Failed) -> ImgserveError:
    return _FAULTS[reply.code](_shown(reply.detail), _shown_hint(reply.hint))


def expect(kind: type[_Kind], reply: Reply) -> _Kind:
    """Raises Distrusted for another kind."""
    if not isinstance(reply, kind):
        raise Distrusted("gave an answer of the wrong kind")
    return reply


def checked_info(info: ImageInfo | None, limits: Limits) -> ImageInfo | None:
    """The result of a probe, checked against the limits that the worker was given. Raises Distrusted."""
    if info is None:
        return None
    sides = (info.width_px, info.height_px)
    is_size = all(math.isfinite(side) and side > 0 for side in sides)
    is_within = info.is_svg or math.prod(sides) <= limits.frame_pixels
    if not is_size or not is_within or not 1 <= info.frames <= limits.frames:
        raise Distrusted("told a size that no picture has")
    return info


def take_result(result: Blob, written: Written, size: Size, output_format: Format, limits: Limits) -> None:
    """Measure the result. Raises Distrusted if it could still change, or is not the picture that was ordered."""
    if (written.size, written.format) != (size, output_format):
        raise Distrusted("wrote another picture than it was asked for")
    if not result.measure():
        raise Distrusted("kept a hand on its result")
    if not 0 < result.size <= most_bytes(size, output_format, limits):
        raise Distrusted("wrote a result of a length that the picture cannot have")


def take_page(result: Blob) -> Page:
    """The page that a worker has read. Raises Distrusted."""
    if not result.measure():
        raise Distrusted("kept a hand on its result")
    if result.size > _MOST_PAGE_BYTES:
        raise Distrusted("told more of a page than a page holds")
    try:
        return _PAGES.decode(result.read())
    except msgspec.DecodeError:
        raise Distrusted("told of a page what no page holds") from None


def most_bytes(size: Size, output_format: Format, limits: Limits) -> int:
    """More than a file of this size can have, all its frames together."""
    pixels = size.width_px * size.height_px
    frames = max(1, min(limits.frames, limits.output_pixels // pixels)) if output_format in ANIMATED else 1
    return _BYTES_OF_FILE + frames * (_BYTES_OF_FRAME + _BYTES_OF_PIXEL * pixels)


class distrust:
    """Kills the worker when the block raises Distrusted, and raises WorkerDied instead.

    A class, since each picture goes through one, and a generator costs twice as much.
    """

    __slots__ = ("_child",)

    def __init__(self, child: Child) -> None:
        self._child = child

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Distrusted):
            self._child.kill("fault")
            raise WorkerDied(f"the render worker {error} and was ended", "try again") from error


def _shown_hint(hint: Sentence) -> Sentence:
    """The decoder has checked the fields that it names."""
    if isinstance(hint, str):
        return _shown(hint)
    return tuple(_shown(part) if isinstance(part, str) else part for part in hint)


def _shown(text: str) -> str:
    return "".join(letter for letter in text[:_LONGEST_DETAIL] if letter.isprintable())
