"""What a picture of IIIF depends on, in canonical form: equal spellings of a request are equal values."""

from typing import Literal

import msgspec

from imgserve.request.encode import Format

Version = Literal[2, 3]
Quality = Literal["default", "gray", "bitonal"]


class Pixels(msgspec.Struct, frozen=True):
    """A part of the picture, which may reach beyond its right and lower edge."""

    x: int
    y: int
    width: int
    height: int


class Percents(msgspec.Struct, frozen=True):
    """The same in per cent of the picture's sides."""

    x: float
    y: float
    width: float
    height: float


class Sides(msgspec.Struct, frozen=True):
    """The result's own sides; one alone keeps the shape."""

    width: int | None
    height: int | None


class Box(msgspec.Struct, frozen=True):
    """The largest size of the region's shape within these sides."""

    width: int
    height: int


class Scale(msgspec.Struct, frozen=True):
    percent: float


Region = Literal["full", "square"] | Pixels | Percents
Size = Literal["max", "full"] | Sides | Box | Scale


class Parameters(msgspec.Struct, frozen=True):
    """``version`` 2 is 2.1. The size ``full`` is of 2.1 alone, ``may_enlarge`` (``^``) of 3.0 alone.

    ``rotation``: degrees clockwise from 0 to below 360, behind the mirror. The quality ``color`` is ``default``.
    """

    version: Version = 3
    region: Region = "full"
    size: Size = "max"
    may_enlarge: bool = False
    is_mirrored: bool = False
    rotation: float = 0.0
    quality: Quality = "default"
    format: Format = "jpeg"
