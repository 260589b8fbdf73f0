"""Walks the blocks of a GIF without decoding them: whether the file is complete, and which pixels its frames cover.

libvips accepts a file that ends between two frames as a shorter animation. It paints pixels that no frame covers, or
that are cleared after a frame, in the background colour unless that frame has a transparent one; browsers leave both
transparent. The canvas is the logical screen, enlarged for the first frame; later frames are clipped to it, as in
browsers. Called by load and animation. GIF89a, sections 17 to 27 and appendix A.
"""

import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.source import Data
from imgserve.request.imageinfo import Size

_HEADER_BYTES = 13
_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_IMAGE_BYTES, _EXTENSION_BYTES = 10, 2  # up to the first colour table or sub-block
_HAS_TABLE, _TABLE_SIZE = 0x80, 0x07
_CONTROL = 0xF9
_DISPOSAL, _DISPOSAL_SHIFT = 0x1C, 2
_KEEP, _CLEAR, _RESTORE = 0, 2, 3
_OTHER_RESTORE = 4  # some old programs write it, and libvips reads it
_COVERED = 255
# An animation that begins with more frames that only clear stays unchanged: frames are counted later.
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
    """Whether whole blocks lead to the trailer. False too if a block is of an unknown kind."""
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
    """The same animation: frames that clear an empty canvas restore it instead, so that libvips paints no colour."""
    changed: bytearray | None = None
    for frame in islice(frames(data), _MOST_CLEARED):
        if frame.disposal == _CLEAR:
            changed = changed or bytearray(data)
            changed[frame.control_at] = data[frame.control_at] & ~_DISPOSAL | _RESTORE << _DISPOSAL_SHIFT
        elif frame.disposal != _RESTORE:
            break  # from here on the canvas may be painted
    return data if changed is None else bytes(changed)


def on_its_screen(data: Data) -> tuple[Data, int]:
    """The same animation, and the number of its first frame.

    libvips ignores a logical screen of a monitor's size, such as 800 x 600, or of more than 2,048, unless the first
    frame reaches to its corner. An empty frame there, before all others, gives the canvas its proper size.
    """
    first = next(frames(data), None)
    if first is None:
        return data, 0
    reached = first.left + first.width, first.top + first.height
    corner = tuple(map(max, reached, struct.unpack("<2H", data[6:10])))
    if corner == reached or max(corner) > _FARTHEST:
        return data, 0
    at = _HEADER_BYTES + _table_bytes(data[10])
    empty = struct.pack("<B4HB", _IMAGE, *corner, 0, 0, 0) + _NO_PIXELS
    return b"".join((data[:at], empty, data[at:])), 1


def masks(frames: Iterable[Frame], canvas: Size) -> Iterator[pyvips.Image | None]:
    """A mask for each frame: 255 for covered pixels and 0 elsewhere, one band; None for the whole canvas."""
    empty = pyvips.Image.black(canvas.width_px, canvas.height_px)
    covered: pyvips.Image | None = empty
    for frame in frames:
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
    if not frame.width or not frame.height:
        return mask
    return mask.cast("uchar").draw_rect(value, frame.left, frame.top, frame.width, frame.height, fill=True)


def masked(image: pyvips.Image, mask: pyvips.Image | None) -> pyvips.Image:
    """Transparent where the mask is 0."""
    if mask is None:
        return image
    if not image.hasalpha():
        return image.bandjoin(mask)
    colours, alpha = image.extract_band(0, n=image.bands - 1), image.extract_band(image.bands - 1)
    return colours.bandjoin((mask == 0).ifthenelse(0, alpha))


def _blocks(data: Data) -> Iterator[int]:
    """The position of each whole block, the trailer last; ends at the end of the file or at an unknown block."""
    if len(data) < _HEADER_BYTES:
        return
    at = _HEADER_BYTES + _table_bytes(data[10])
    while at < len(data):
        kind, begin = data[at], at
        if kind == _TRAILER:
            yield begin
            return
        if kind == _EXTENSION:
            at += _EXTENSION_BYTES
        elif kind == _IMAGE and at + _IMAGE_BYTES < len(data):
            at += _IMAGE_BYTES + _table_bytes(data[at + 9]) + 1  # and the smallest code's size
        else:
            return
        at = _behind_sub_blocks(data, at)
        if at <= len(data):
            yield begin


def _behind_sub_blocks(data: Data, at: int) -> int:
    end = len(data)
    while at < end and (size := data[at]):
        at += size + 1
    return at + 1


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & _TABLE_SIZE) + 1) if flags & _HAS_TABLE else 0
