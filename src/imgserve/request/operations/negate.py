"""negate: a negative. Its Struct; ``worker/steps/negate.py`` carries it out."""

from imgserve.request.operations.operation import KeepsSize


class Negate(KeepsSize, frozen=True, tag="negate"):
    """Each value v of a colour becomes ``255 - v``. Transparency stays."""
