"""equalize: spread the tones evenly. Its Struct; ``worker/steps/equalize.py`` carries it out."""

from imgserve.request.operations.operation import KeepsSize


class Equalize(KeepsSize, frozen=True, tag="equalize"):
    """Spread the values of each colour channel so that each part of the range has as many pixels as any other.

    The lowest value becomes 0, the highest 255; a channel of a single value stays. Pixels that are fully transparent do
    not count. All frames of an animation are changed as its first one. Transparency stays.
    """
