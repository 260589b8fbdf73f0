"""pixelate: large squares. Its Struct; ``worker/steps/pixelate.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.operations.operation import KeepsSize


class Pixelate(KeepsSize, frozen=True, tag="pixelate"):
    """Show the picture in squares, each in the mean colour of its pixels.

    They begin at the top left corner; those at the right and at the bottom may be cut. Transparent pixels lend no
    colour to their square.
    """

    size: Annotated[int, msgspec.Meta(ge=2, le=512, description="side of a square, in pixels")]
    mirror: Annotated[
        bool, msgspec.Meta(description="squares that an edge cuts count the picture's mirror image beyond it too")
    ] = False
