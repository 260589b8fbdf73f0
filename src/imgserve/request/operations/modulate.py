"""modulate: brightness, saturation, hue. Its Struct; ``worker/steps/modulate.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.operations.operation import KeepsSize

Factor = Annotated[float, msgspec.Meta(ge=0, le=100)]


class Modulate(KeepsSize, frozen=True, tag="modulate"):
    """Change lightness, saturation and hue of each colour, in the colour space CIE LCh. Transparency stays."""

    brightness: Annotated[Factor, msgspec.Meta(description="factor of the lightness: 2 is twice as light")] = 1.0
    saturation: Annotated[Factor, msgspec.Meta(description="factor of the chroma: 0 is grey")] = 1.0
    hue: Annotated[float, msgspec.Meta(ge=-360, le=360, description="turn of the hue, in degrees")] = 0.0
    lightness: Annotated[
        float, msgspec.Meta(ge=-100, le=100, description="added to the lightness, whose scale is 0 to 100")
    ] = 0.0
