"""contrast: spread the values around the middle. Its Struct; ``worker/steps/contrast.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.operations.operation import KeepsSize


class Contrast(KeepsSize, frozen=True, tag="contrast"):
    """Each value v of a colour becomes ``127.5 + factor * (v - 127.5)``, rounded half up, within 0 and 255.

    Transparency stays.
    """

    factor: Annotated[float, msgspec.Meta(ge=0, le=100, description="above 1: more contrast; 0: all grey")]
