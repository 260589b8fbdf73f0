"""flatten: no transparency. Its Struct; ``worker/steps/flatten.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.color import OpaqueColor
from imgserve.request.operations.operation import KeepsSize


class Flatten(KeepsSize, frozen=True, tag="flatten"):
    """Lay the picture on a colour, which shows where the picture is transparent."""

    background: Annotated[OpaqueColor, msgspec.Meta(description="the colour behind the picture")] = "#ffffff"
