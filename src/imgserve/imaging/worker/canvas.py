"""The value that the steps of the pipeline take and return. For ``pipeline`` and ``steps``."""

from typing import NamedTuple

import pyvips


class Canvas(NamedTuple):
    """A picture between two steps, upright. Of an animation all ``frames``, one below the other (``animation``).

    Behind the load and the colours: ``height x width x 1-4 bands, uint8``, sRGB or grey, alpha last.
    """

    image: pyvips.Image
    frames: int
