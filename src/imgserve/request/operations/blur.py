"""blur: soften a picture. Its Struct; ``worker/steps/blur.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.operations.operation import KeepsSize

MAX_SIGMA = 250
Sigma = Annotated[
    float, msgspec.Meta(ge=0.3, le=MAX_SIGMA, description="width of the Gaussian: its standard deviation, in pixels")
]
Radius = Annotated[int, msgspec.Meta(ge=1, le=150)]


class Blur(KeepsSize, frozen=True, tag="blur"):
    """Soften the picture by a Gaussian.

    The Gaussian ends at ``radius``; without it where it falls below a fifth of its height, as in libvips, so that a
    sigma below 0.6 changes nothing. Beyond an edge the picture's last pixels go on. Transparent pixels lend no colour
    to their neighbours.
    """

    sigma: Sigma
    radius: Annotated[Radius | None, msgspec.Meta(description="how far away pixels are mixed in, in pixels")] = None
