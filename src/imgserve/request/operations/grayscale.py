"""grayscale: take the colour away. Its Struct; ``worker/steps/grayscale.py`` carries it out."""

from typing import Annotated, Literal

import msgspec

from imgserve.request.operations.operation import KeepsSize


class Grayscale(KeepsSize, frozen=True, tag="grayscale"):
    """Shades of grey. The file has one channel where its format can."""

    method: Annotated[
        Literal["luminance", "luma"],
        msgspec.Meta(
            description="`luminance`: as bright as the colour's light; `luma`: 0.299 red + 0.587 green + 0.114 blue "
            "of the stored values, rounded half up"
        ),
    ] = "luminance"
