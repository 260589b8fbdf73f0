"""saturate: more or less colour. Its Struct; ``worker/steps/saturate.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.operations.operation import KeepsSize


class Saturate(KeepsSize, frozen=True, tag="saturate"):
    """Move each colour away from the grey of its perceived brightness (HSP), or towards it. Transparency stays.

    Each value v of a pixel becomes ``p + factor * (v - p)``, rounded, within 0 and 255, where
    ``p = sqrt(0.299 red^2 + 0.587 green^2 + 0.114 blue^2)``.
    """

    factor: Annotated[
        float,
        msgspec.Meta(
            ge=-100, le=100, description="0: grey; 1: as it is; above 1: more colour; below 0: the opposite hue"
        ),
    ]
