"""Walks the blocks of a GIF without decoding them: whether the file is complete, and which pixels its frames cover.

libvips takes a file that ends between two frames for a shorter film. It paints pixels that no frame covers, or that are
cleared after a frame, in the background colour unless that frame has a transparent one; browsers leave both
transparent. The canvas is the logical screen, made larger for the first frame; later frames are clipped to it, as in
browsers. Called by load and animation. GIF89a, sections 17 to 27 and appendix A.
"""

import mmap
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import pyvips

from imgserve.request.imageinfo import Size

Data = bytes | mmap.mmap

_HEADER_BYTES = 13
_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_IMAGE_BYTES, _EXTENSION_BYTES = 10, 2  # up to the first colour table or sub-block
_HAS_TABLE, _TABLE_SIZE = 0x80, 0x07
_CONTROL = 0xF9
_DISPOSAL, _DISPOSAL_SHIFT = 0x1C, 2
_KEEP, _CLEAR, _RESTORE = 0, 2, 3
_OTHER_RESTORE = 4  # as some old programs write it, and libvips reads it
_COVERED = 255
# A film that begins with more frames that only clear is left as it is: this is done before the frames are counted.
_MOST_CLEARED = 10_000
_FARTHEST = 65_535
_NO_PIXELS = b"\x02\x00"  # the smallest code's size, and no sub-block


class Frame(NamedTuple):
    """A frame's place on the canvas, its disposal, and the offset of the disposal in the file (0: it has none)."""

    left: int
    top: int
    width: int
    height: int
    disposal: int
    control_at: int


def has_trailer(data: Data) -> bool:
    """Whether whole blocks lead to the trailer. False too where a block is of no known kind."""
    return any(data[at] == _TRAILER for at in _blocks(data))


def frames(data: Data) -> Iterator[Frame]:
    control_at = 0
    for at in _blocks(data):
        if data[at] == _EXTENSION and data[at + 1] == _CONTROL:
            control_at = at + 3
        elif data[at] == _IMAGE:
            left, top, width, height = (int.from_bytes(data[at + n : at + n + 2], "little") for n in (1, 3, 5, 7))
            disposal = (data[control_at] & _DISPOSAL) >> _DISPOSAL_SHIFT if control_at else _KEEP
            disposal = _RESTORE if disposal == _OTHER_RESTORE else disposal
            yield Frame(left, top, width, height, disposal, control_at)
            control_at = 0


def cleared_by_restoring(data: Data) -> Data:
    """The same film: frames that clear an empty canvas restore it instead, which libvips does without a colour."""
    changed: bytearray | None = None
    for frame in islice(frames(data), _MOST_CLEARED):
        if frame.disposal == _CLEAR:
            changed = bytearray(data) if changed is None else changed
            flags = data[frame.control_at] & ~_DISPOSAL
            changed[frame.control_at] = flags | _RESTORE << _DISPOSAL_SHIFT
        elif frame.disposal != _RESTORE:
            break  # from here on the canvas may hold something
    return data if changed is None else bytes(changed)


def on_its_screen(data: Data) -> tuple[Data, int]:
    """The same film, and the number of its first frame.

    libvips forgets a logical screen of a monitor's size, as 800 x 600, or of more than 2,048, unless the first frame
    reaches to its corner. An empty frame there, before all others, makes the canvas what it should be.
    """
    first = next(frames(data), None)
    if first is None:
        return data, 0
    reached = first.left + first.width, first.top + first.height
    screen = (int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    corner = max(reached[0], screen[0]), max(reached[1], screen[1])
    if corner == reached or max(corner) > _FARTHEST:
        return data, 0
    at = _HEADER_BYTES + _table_bytes(data[10])
    empty = struct.pack("<B4HB", _IMAGE, *corner, 0, 0, 0) + _NO_PIXELS
    return b"".join((data[:at], empty, data[at:])), 1


def masks(found: Iterable[Frame], canvas: Size) -> Iterator[pyvips.Image | None]:
    """A mask of the covered pixels for each frame: 255 there and 0 elsewhere, one band; None for the whole canvas."""
    empty = pyvips.Image.black(canvas.width_px, canvas.height_px)
    covered: pyvips.Image | None = empty
    for frame in found:
        before = covered
        covered = _painted(before, frame, canvas, _COVERED)
        yield covered
        if frame.disposal == _RESTORE:
            covered = before
        elif frame.disposal == _CLEAR:
            covered = _painted(covered if covered is not None else empty + _COVERED, frame, canvas, 0)


def _painted(mask: pyvips.Image | None, frame: Frame, canvas: Size, value: int) -> pyvips.Image | None:
    if mask is None:
        return None
    is_whole = frame.left == frame.top == 0 and frame.width >= canvas.width_px and frame.height >= canvas.height_px
    if is_whole and value == _COVERED:
        return None
    place = (frame.left, frame.top, frame.width, frame.height)
    return mask.cast("uchar").draw_rect(value, *place, fill=True) if frame.width and frame.height else mask


def masked(image: pyvips.Image, mask: pyvips.Image | None) -> pyvips.Image:
    """Transparent where the mask is 0."""
    if mask is None:
        return image
    if not image.hasalpha():
        return image.bandjoin(mask)
    colours, alpha = image.extract_band(0, n=image.bands - 1), image.extract_band(image.bands - 1)
    return colours.bandjoin((mask == 0).ifthenelse(0, alpha))


def _blocks(data: Data) -> Iterator[int]:
    """Where each whole block begins, the trailer last; the walk ends where the file does, or makes no sense."""
    if len(data) < _HEADER_BYTES:
        return
    at = _HEADER_BYTES + _table_bytes(data[10])
    while at < len(data):
        kind, begin = data[at], at
        if kind == _EXTENSION:
            at += _EXTENSION_BYTES
        elif kind == _IMAGE and at + _IMAGE_BYTES < len(data):
            at += _IMAGE_BYTES + _table_bytes(data[at + 9]) + 1  # and the smallest code's size
        elif kind != _TRAILER:
            return
        at = _behind_sub_blocks(data, at) if kind != _TRAILER else at
        if kind == _TRAILER or at <= len(data):
            yield begin
        if kind == _TRAILER:
            return


def _behind_sub_blocks(data: Data, at: int) -> int:
    end = len(data)
    while at < end and (size := data[at]):
        at += size + 1
    return at + 1


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & _TABLE_SIZE) + 1) if flags & _HAS_TABLE else 0
