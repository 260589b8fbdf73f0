"""tint: one hue for the whole picture. Its Struct; ``worker/steps/tint.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.faults import Fault
from imgserve.request.operations.operation import KeepsSize

_OPAQUE = len("#rrggbb")


class Tint(KeepsSize, frozen=True, tag="tint"):
    """Give all pixels the hue of one colour. Their lightness stays: black and white stay black and white."""

    color: Annotated[str, msgspec.Meta(description="the colour, without transparency; its lightness does not count")]

    def faults(self) -> tuple[Fault, ...]:
        if len(self.color) == _OPAQUE:
            return ()
        return (Fault("field_invalid", ("color",), expected="a colour without transparency", got=self.color),)
