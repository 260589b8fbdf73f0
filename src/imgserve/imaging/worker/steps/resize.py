"""resize: scale to cover the size exactly and crop the overhang, on the sides that gravity does not favour.

As the first operation it opens the picture (fused with the load, so that JPEG, WebP and SVG are decoded at a smaller
scale); after others it takes a canvas. Called by ``pipeline.py``.
"""

import pyvips

from imgserve.imaging.worker import animation, cover, load, scale
from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.formats import jpeg, turbojpeg
from imgserve.imaging.worker.svg import draw
from imgserve.request.geometry import Gravity, Shape
from imgserve.request.imageinfo import Size
from imgserve.request.operations.resize import Resize

_CROP_BY_ITSELF = {"center": "centre", "attention": "attention", "entropy": "entropy"}


def opened(picture: load.Picture, operation: Resize, before: Shape, size: Size, frames: int) -> Canvas:
    """Exactly ``size``, enlarged if the source is smaller. Raises SourceUnreadable, SvgInvalid."""
    crop = _crop(operation.gravity, before, size)
    if picture.format == "svg":
        return Canvas(_drawn(picture, before, size, crop), frames)
    if frames > 1:
        return Canvas(animation.covering(picture, before, size, crop), frames)
    image = jpeg.covering(picture, size, crop)
    if image is None:
        image = load.covering(picture, size, crop)
    if (image.width, image.height) != (size.width_px, size.height_px):
        # By rounding it may be a pixel too large or too small.
        image = image.thumbnail_image(size.width_px, height=size.height_px, size="force")
    return Canvas(image, frames)


def applied(canvas: Canvas, operation: Resize, size: Size) -> Canvas:
    """Each frame exactly ``size``."""
    crop = _crop(operation.gravity, canvas.shape, size)
    if canvas.frames > 1:
        return animation.covering_again(canvas, size, crop)
    return canvas._replace(image=cover.covering(canvas.image, size, crop))


def jpeg_of_jpeg(
    picture: load.Picture, operation: Resize, before: Shape, size: Size, settings: turbojpeg.Settings
) -> bytes | None:
    """The result's file, if a plain JPEG becomes another one; None for everything else."""
    return jpeg.again(picture, size, _crop(operation.gravity, before, size), settings)


def _drawn(picture: load.Picture, before: Shape, size: Size, crop: str) -> pyvips.Image:
    whole = scale.covering(before.width_px, before.height_px, size)
    image = draw.draw(bytes(picture.data), whole, is_stretched=True, dpi=picture.options.dpi)
    return image if whole == size else image.smartcrop(size.width_px, size.height_px, interesting=crop)


def _crop(gravity: Gravity, before: Shape, size: Size) -> str:
    """libvips' word for the side to keep. Only one axis is cropped, so only the gravity's word for that one counts."""
    if gravity in _CROP_BY_ITSELF:
        return _CROP_BY_ITSELF[gravity]
    is_too_wide = before.width_px * size.height_px > before.height_px * size.width_px
    low, high = ("west", "east") if is_too_wide else ("north", "south")
    return "low" if low in gravity else "high" if high in gravity else "centre"
