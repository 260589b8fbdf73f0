"""linear: multiply and add. Its Struct; ``worker/steps/linear.py`` carries it out."""

from typing import Annotated

import msgspec

from imgserve.request.faults import Fault
from imgserve.request.operations.operation import KeepsSize

# Far beyond what any picture needs, since all results are clipped.
Multiplier = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]
Summand = Annotated[float, msgspec.Meta(ge=-100_000, le=100_000)]
# A picture has one colour channel (grey) or three when it comes here, and only its pixels tell which.
_ONE_OR_THREE = msgspec.Meta(min_length=1, max_length=3)


class Linear(KeepsSize, frozen=True, tag="linear"):
    """Each value v of a colour becomes ``multiply * v + add``, rounded half up, within 0 and 255. Transparency stays.

    A list is for red, green and blue; with different numbers it turns a grey picture into one in colour.
    """

    multiply: Annotated[
        Multiplier | Annotated[tuple[Multiplier, ...], _ONE_OR_THREE],
        msgspec.Meta(description="factor: a number, or a list of one for each colour"),
    ] = 1.0
    add: Annotated[
        Summand | Annotated[tuple[Summand, ...], _ONE_OR_THREE],
        msgspec.Meta(description="added to it, on the scale of 0 to 255: a number, or a list of one for each colour"),
    ] = 0.0

    def faults(self) -> tuple[Fault, ...]:
        """A list of two numbers, which JSON Schema's lengths let through."""
        lists = {"multiply": self.multiply, "add": self.add}
        return tuple(
            Fault("field_invalid", (name,), expected="a number, or a list of one or three", got=list(value))
            for name, value in lists.items()
            if isinstance(value, tuple) and len(value) == 2
        )
