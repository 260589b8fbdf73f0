"""What ``/v1/info`` can include of a picture's pixels and metadata. Called by ``__main__.py``, which most workers are
never asked for, so it is imported with the first request.
"""

import pyvips

from imgserve.imaging.messages import Include, Inspected
from imgserve.imaging.worker import pipeline
from imgserve.imaging.worker.inspection import camera
from imgserve.imaging.worker.inspection.blurhash import blurhash
from imgserve.imaging.worker.inspection.palette import palette
from imgserve.imaging.worker.inspection.thumbhash import thumbhash
from imgserve.imaging.worker.metadata import kept
from imgserve.imaging.worker.source import Data
from imgserve.imaging.worker.svg.watch import Watch, unwatched
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe

# Enough for terms of a cosine transform up to the seventh; twice as much takes four times as long in Python.
SIDE_PX = 32
_SMALL = Recipe((Resize(width=SIDE_PX, height=SIDE_PX, fit="inside", if_small="keep"),))


def inspect(data: Data, include: frozenset[Include], limits: Limits, watched: Watch = unwatched) -> Inspected:
    """Raises SourceUnreadable, SvgInvalid, PictureTooLarge, RenderFailed."""
    picture, image = pipeline.still(data, _SMALL, limits, watched)
    pixels = _rgba(image)
    exif = None if picture.format == "svg" else kept.read_exif(picture)
    return Inspected(
        thumbhash(image.width, image.height, pixels) if "thumbhash" in include else None,
        blurhash(image.width, image.height, _on_white(pixels)) if "blurhash" in include else None,
        palette(pixels) if "colors" in include else None,
        camera.fields(exif) if "exif" in include else None,
        camera.position(exif) if "position" in include else None,
    )


def _rgba(image: pyvips.Image) -> bytes:
    """``height x width x 4``, 8 bits."""
    image = image.cast("uchar") if image.format == "uchar" else (image >> 8).cast("uchar")
    if image.bands < 3:
        alpha = image[1:] if image.bands > 1 else None
        grey = image[0]
        image = grey.bandjoin([grey, grey])
        image = image.bandjoin(alpha) if alpha is not None else image
    if image.bands == 3:
        image = image.bandjoin(255)
    return bytes(image.write_to_memory())  # pyvips returns a buffer of cffi, whose items are no numbers


def _on_white(rgba: bytes) -> list[int]:
    """Without alpha: as a result of a format without transparency."""
    return [
        round((value * rgba[at + 3] + 255 * (255 - rgba[at + 3])) / 255)
        for at in range(0, len(rgba), 4)
        for value in rgba[at : at + 3]
    ]
