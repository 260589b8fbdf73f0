"""extend: add space around each frame; its own pixels stay as they are. Called by ``pipeline.py``."""

from functools import partial

import pyvips

from imgserve.imaging.worker import cover, scale
from imgserve.imaging.worker.canvas import Canvas, mixed
from imgserve.imaging.worker.colour import inks
from imgserve.imaging.worker.steps import blur, space
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import Size
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.extend import Extend

# A blurred picture is made at this size and enlarged: its cost then does not grow with the picture.
_BLURRED_SIDE, _SIGMA = 64, 3
# As thumbor's fill(blur) has it.
_STRETCHED = Blur(sigma=50, radius=50)


def applied(canvas: Canvas, operation: Extend, _size: Size) -> Canvas:
    part = operation.part(canvas.size)
    left, top, size = part
    if size == canvas.size:
        return canvas
    if operation.mode == "blur":
        return canvas.of_each_frame(partial(_before_its_blur, part=part))
    if operation.mode == "stretch":
        return canvas.of_each_frame(partial(_before_its_own, part=part))
    if operation.mode == "color" and operation.background != "mean":
        return space.placed(canvas, left, top, size, inks.rgba(operation.background))
    fill = "background" if operation.mode == "color" else operation.mode
    color = {"background": _mean(canvas)} if operation.mode == "color" else {}
    return canvas.of_each_frame(
        lambda frame: frame.embed(left, top, size.width_px, size.height_px, extend=fill, **color)
    )


def _mean(canvas: Canvas) -> list[int]:
    """The mean colour of the first frame, by alpha, in its samples. Of a picture without any it is transparent."""
    image = canvas.first
    if not image.hasalpha():
        return [round(band.avg()) for band in image.bandsplit()]
    *colours, alpha = [band.avg() for band in image.premultiply().bandsplit()]
    return [*(round(level * canvas.most / alpha) for level in colours), canvas.most] if alpha else [0] * image.bands


def _before_its_blur(image: pyvips.Image, part: Part) -> pyvips.Image:
    image, size = image.copy_memory(), part.size  # it is read twice
    factor = min(1.0, _BLURRED_SIDE / max(size.width_px, size.height_px))
    small = Size(max(1, round(size.width_px * factor)), max(1, round(size.height_px * factor)))
    blurred = mixed(cover.covering(image, small), lambda pixels: pixels.gaussblur(_SIGMA))
    return scale.resized(blurred, size, "cubic").insert(image, part.left, part.top)


def _before_its_own(image: pyvips.Image, part: Part) -> pyvips.Image:
    image = image.copy_memory()
    return scale.resized(blur.blurred(image, _STRETCHED), part.size).insert(image, part.left, part.top)
