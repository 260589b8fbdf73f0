"""normalize: use the whole range from black to white. Its Struct; ``worker/steps/normalize.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.errors import FieldRef
from imgserve.request.faults import Fault
from imgserve.request.operations.operation import KeepsSize

_UPPER = FieldRef(("upper",))


class Normalize(KeepsSize, frozen=True, tag="normalize"):
    """Stretch the lightness (CIE L) so that the picture uses the whole range from black to white.

    Pixels that are fully transparent do not count. All frames of an animation are stretched as its first one. A picture
    of a single lightness stays as it is.
    """

    lower: Annotated[
        float, msgspec.Meta(ge=0, le=100, description="percentile of the pixels' lightness that becomes black")
    ] = 1.0
    upper: Annotated[
        float, msgspec.Meta(ge=0, le=100, description="percentile of the pixels' lightness that becomes white")
    ] = 99.0

    def faults(self) -> tuple[Fault, ...]:
        if self.lower < self.upper:
            return ()
        return (Fault("field_invalid", ("lower",), ("must be below ", _UPPER)),)
