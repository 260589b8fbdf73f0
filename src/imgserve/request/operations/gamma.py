"""gamma: a tone curve. Its Struct; ``worker/steps/gamma.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.operations.operation import KeepsSize


class Gamma(KeepsSize, frozen=True, tag="gamma"):
    """Each value of a colour, from 0 to 1, is raised to the power of ``1 / gamma``. Black, white, transparency stay."""

    gamma: Annotated[float, msgspec.Meta(ge=0.1, le=5, description="above 1: lighter; below 1: darker")]
