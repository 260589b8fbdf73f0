"""resize: scale to cover the size exactly and cut off what hangs over, on the sides that gravity does not favour.

The step that opens the picture (fused with the load, so that JPEG, WebP and SVG are decoded at a smaller scale).
Called by ``pipeline.py``.
"""

import pyvips

from imgserve.imaging.worker import animation, load
from imgserve.imaging.worker.formats import jpeg
from imgserve.imaging.worker.svg import draw
from imgserve.request.imageinfo import Facts, Size
from imgserve.request.operations import Gravity, Resize

_CROP_BY_ITSELF = {"center": "centre", "attention": "attention", "entropy": "entropy"}


def open_picture(picture: load.Picture, facts: Facts, operation: Resize, size: Size, frames: int) -> pyvips.Image:
    """Exactly ``size``, enlarged if the source has become smaller. Raises SourceUnreadable, SvgInvalid."""
    if picture.format == "svg":
        return _draw(picture, facts, operation, size)
    crop = _crop(operation.gravity, facts, size)
    if frames > 1:
        return animation.covering(picture, facts, size, crop)
    quickly = jpeg.covering(picture, size, crop)
    if quickly is not None:
        return quickly
    image = load.covering(picture, size, crop)
    if (image.width, image.height) != (size.width_px, size.height_px):
        # rounding left a pixel too many or too few
        image = image.thumbnail_image(size.width_px, height=size.height_px, size="force")
    return image


def again(picture: load.Picture, facts: Facts, operation: Resize, size: Size, quality: int) -> bytes | None:
    """The result at once, where a plain JPEG becomes another one; None for all else."""
    return jpeg.again(picture, size, _crop(operation.gravity, facts, size), quality)


def _draw(picture: load.Picture, facts: Facts, operation: Resize, size: Size) -> pyvips.Image:
    scale = max(size.width_px / facts.width_px, size.height_px / facts.height_px)
    whole = Size(
        max(size.width_px, round(facts.width_px * scale)),
        max(size.height_px, round(facts.height_px * scale)),
    )
    image = draw.draw(bytes(picture.data), whole, is_stretched=True)
    if whole == size:
        return image
    return image.smartcrop(size.width_px, size.height_px, interesting=_crop(operation.gravity, facts, size))


def _crop(gravity: Gravity, facts: Facts, size: Size) -> str:
    """libvips' word for the side to keep. Only one axis hangs over, so only the gravity's word for that one counts."""
    if gravity in _CROP_BY_ITSELF:
        return _CROP_BY_ITSELF[gravity]
    is_too_wide = facts.width_px * size.height_px > facts.height_px * size.width_px
    low, high = ("west", "east") if is_too_wide else ("north", "south")
    return "low" if low in gravity else "high" if high in gravity else "centre"
