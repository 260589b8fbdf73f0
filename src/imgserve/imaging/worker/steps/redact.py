"""redact: regions of each frame blurred, in large cells, or painted over. Called by ``pipeline.py``.

A region is made from its own pixels alone, at the size of a stamp: what the stamp does not hold cannot come back. The
pixels around it stay as they are. Alpha is hidden too, for a text may be drawn in it alone.
"""

import math

import pyvips

from imgserve.imaging.worker.canvas import Canvas, as_samples
from imgserve.imaging.worker.colour import inks
from imgserve.imaging.worker.colour.convert import Rgba
from imgserve.request.imageinfo import Size
from imgserve.request.operations.redact import BLACK, Redact, Region

_CELLS = 8  # the most on the longer side, and the part of it that is the least sigma
_STAMP = 32  # the longer side of what is blurred: a sigma of 4, fine enough to look smooth when enlarged
_MOST_HIDDEN = 4  # a region that lies mostly beyond the picture counts as so many times its visible part
_LEAST_CELL, _LEAST_SIGMA = 2, 0.5  # pixels: less would leave a small region as it is
_CUT_AT = 0.01  # of a Gaussian's middle: libvips' own 0.2 would blur less than sigma says


def applied(canvas: Canvas, operation: Redact, size: Size) -> Canvas:
    ink = inks.rgba(operation.color or BLACK)

    def hidden(frame: pyvips.Image) -> pyvips.Image:
        if operation.mode == "color":
            frame = inks.with_room_for(frame, ink)
        frame = frame.copy_memory()  # each region is read on its own
        for region in operation.regions:
            box = region.within(size)
            if box is not None:
                piece = frame.crop(*box)
                hiding = _painted(piece, ink) if operation.mode == "color" else _mixed(piece, operation, region, size)
                frame = frame.insert(hiding, box.left, box.top)
        return frame

    return canvas.of_each_frame(hidden)


def _painted(piece: pyvips.Image, ink: Rgba) -> pyvips.Image:
    return piece.new_from_image(inks.samples(ink, piece))


def _mixed(piece: pyvips.Image, operation: Redact, region: Region, size: Size) -> pyvips.Image:
    """In memory, so that a region over it reads no pixel twice."""
    longer_px = min(max(region.sides(size)), _MOST_HIDDEN * max(piece.width, piece.height))
    pixels = piece.premultiply() if piece.hasalpha() else piece.cast("float")
    if operation.mode == "pixelate":
        pixels = _cells(pixels, max(_LEAST_CELL, math.ceil(longer_px / _CELLS)))
    else:
        pixels = _blurred(pixels, longer_px)
    return as_samples(pixels.unpremultiply() if piece.hasalpha() else pixels, piece).copy_memory()


def _cells(pixels: pyvips.Image, side: int) -> pyvips.Image:
    """The mean of each cell of ``side`` pixels, the first one at the top left; those at the ends may be cut."""
    return _stamp(pixels, side).zoom(side, side).crop(0, 0, pixels.width, pixels.height)


def _blurred(pixels: pyvips.Image, longer_px: int) -> pyvips.Image:
    """A Gaussian of an eighth of ``longer_px``."""
    block = max(1, longer_px // _STAMP)
    stamp = _stamp(pixels, block)
    soft = stamp.gaussblur(max(longer_px / block / _CELLS, _LEAST_SIGMA), min_ampl=_CUT_AT, precision="float")
    if block == 1:
        return soft
    # Linear between the middles of blocks; the margin has those beyond the ends.
    wide = soft.copy_memory().embed(1, 1, soft.width + 2, soft.height + 2, extend="copy")
    return wide.resize(block, kernel="linear").crop(block, block, pixels.width, pixels.height)


def _stamp(pixels: pyvips.Image, block: int) -> pyvips.Image:
    """The means of blocks of this side. Blocks that are cut count their last pixels again."""
    across, down = math.ceil(pixels.width / block), math.ceil(pixels.height / block)
    return pixels.embed(0, 0, across * block, down * block, extend="copy").shrink(block, block).copy_memory()
