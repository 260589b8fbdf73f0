"""grayscale: one band of grey. Called by ``pipeline.py``, ``threshold`` and ``tint``."""

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.grayscale import Grayscale

_LUMA = (299, 587, 114)  # thousandths: ITU-R BT.601, section 2.5.1


def applied(canvas: Canvas, operation: Grayscale, _size: Size) -> Canvas:
    return canvas.of_colours(_luma if operation.method == "luma" else luminance)


def luminance(colours: pyvips.Image) -> pyvips.Image:
    """One band of sRGB grey with the light of the colours, as libvips weighs it."""
    return colours if colours.bands == 1 else colours.colourspace("grey16" if colours.format == "ushort" else "b-w")


def _luma(colours: pyvips.Image) -> pyvips.Image:
    if colours.bands == 1:
        return colours
    # Whole numbers in doubles, so that the half is exact.
    grey = (colours.cast("double").recomb([list(_LUMA)]) + sum(_LUMA) / 2) / sum(_LUMA)
    return grey.floor().cast(colours.format)
