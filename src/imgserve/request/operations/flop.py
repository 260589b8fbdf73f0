"""flop: mirror a picture, left to right. ``worker/steps/mirror.py`` carries it out."""

from imgserve.request.operations.operation import KeepsSize


class Flop(KeepsSize, frozen=True, tag="flop"):
    """Mirror the picture: its left side becomes its right side."""
