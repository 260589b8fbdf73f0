"""convolve: a mask of numbers over each pixel. Its Struct; ``worker/steps/convolve.py`` carries it out."""

from typing import Annotated, Literal

import msgspec

from imgserve.request.faults import Fault
from imgserve.request.operations.operation import KeepsSize

# A mask of 31 x 31 takes 1.5 s for a million pixels. A mask without a middle would move the picture by half a pixel.
MAX_SIDE = 31
Weight = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]
Row = Annotated[tuple[Weight, ...], msgspec.Meta(min_length=1, max_length=MAX_SIDE)]


class Convolve(KeepsSize, frozen=True, tag="convolve"):
    """Each value becomes the sum of those around it, each times the number of the ``mask`` that lies over it, rounded,
    within 0 and 255. Beyond an edge the picture's last pixels go on.

    If the numbers add up to 1, as ``normalize`` makes them, transparency is mixed too, and transparent pixels lend no
    colour. Any other mask leaves it alone, and a transparent pixel counts as the one in the middle.

    With `channels` `luma` the mask works on the brightness alone (0.299 red, 0.587 green, 0.114 blue): each colour
    becomes as much brighter or darker as it does. Transparency is left alone.
    """

    mask: Annotated[
        tuple[Row, ...],
        msgspec.Meta(
            min_length=1,
            max_length=MAX_SIDE,
            description=f"rows of as many numbers each; odd numbers of both, at most {MAX_SIDE}",
        ),
    ]
    normalize: Annotated[bool, msgspec.Meta(description="the numbers are divided by their sum, unless that is 0")] = (
        True
    )
    offset: Annotated[
        float, msgspec.Meta(ge=-255, le=255, description="added to each colour, on the scale of 0 to 255")
    ] = 0.0

    channels: Annotated[
        Literal["all", "luma"], msgspec.Meta(description="`luma`: the mask changes the brightness, and no hue")
    ] = "all"

    def faults(self) -> tuple[Fault, ...]:
        width = len(self.mask[0])
        if width % 2 == 0:
            return (Fault("field_invalid", ("mask", 0), f"expected an odd number of columns, got {width}"),)
        if len(self.mask) % 2 == 0:
            return (Fault("field_invalid", ("mask",), f"expected an odd number of rows, got {len(self.mask)}"),)
        return tuple(
            Fault("field_invalid", ("mask", index), f"expected {width} numbers as in the first row, got {len(row)}")
            for index, row in enumerate(self.mask)
            if len(row) != width
        )
