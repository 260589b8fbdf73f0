"""noise: grain. Its Struct; ``worker/steps/noise.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.operations.operation import KeepsSize

_BITS = 32


class Noise(KeepsSize, frozen=True, tag="noise"):
    """Add grain: to each pixel a random number of whole levels (of 255), the same to its red, green and blue.

    It lies from half of ``amount`` below 0, rounded down, to as much above, ``amount`` different numbers in all. The
    same ``seed`` gives the same grain in a picture of the same size. Transparency stays.
    """

    amount: Annotated[int, msgspec.Meta(ge=1, le=510, description="how many levels lie between the extremes")]
    seed: Annotated[
        int, msgspec.Meta(ge=0, le=2**_BITS - 1, description="another one gives another grain of the same kind")
    ] = 0
