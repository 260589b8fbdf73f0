"""flip: mirror a picture, top to bottom. ``worker/steps/mirror.py`` carries it out."""

from imgserve.request.operations.operation import KeepsSize


class Flip(KeepsSize, frozen=True, tag="flip"):
    """Mirror the picture: its top becomes its bottom."""
