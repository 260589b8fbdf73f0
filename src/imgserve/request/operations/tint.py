"""tint: one hue for the whole picture. Its Struct; ``worker/steps/tint.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.color import OpaqueColor
from imgserve.request.operations.operation import KeepsSize


class Tint(KeepsSize, frozen=True, tag="tint"):
    """Give all pixels the hue of one colour. Their lightness stays: black and white stay black and white."""

    color: Annotated[OpaqueColor, msgspec.Meta(description="the colour; its lightness does not count")]
