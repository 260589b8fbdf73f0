"""sharpen: make edges crisp. Its Struct; ``worker/steps/sharpen.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.operations.operation import KeepsSize

Strength = Annotated[float, msgspec.Meta(ge=0, le=1000)]


class Sharpen(KeepsSize, frozen=True, tag="sharpen"):
    """Make edges crisp: the lightness moves away from its blurred self. Colours keep their hue.

    A difference of up to 2 (of a lightness from 0 to 100) counts as a flat area, a larger one as an edge. A pixel gets
    at most 10 brighter and 20 darker.
    """

    sigma: Annotated[
        float, msgspec.Meta(ge=0.3, le=10, description="width of the blur that is compared: its sigma, in pixels")
    ] = 1.0
    flat: Annotated[Strength, msgspec.Meta(description="strength in flat areas: more also sharpens noise")] = 1.0
    jagged: Annotated[Strength, msgspec.Meta(description="strength at edges")] = 2.0
