"""threshold: black and white. Its Struct; ``worker/steps/threshold.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.operations.operation import KeepsSize


class Threshold(KeepsSize, frozen=True, tag="threshold"):
    """Black and white without greys, by the luminance of each pixel (as ``grayscale``). Transparency stays."""

    value: Annotated[int, msgspec.Meta(ge=0, le=255, description="this grey and all above it become white")] = 128
