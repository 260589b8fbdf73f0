"""The limits of a result's size, as info.json has them: ``maxWidth``, ``maxHeight`` and ``maxArea``."""

from fractions import Fraction
from math import isqrt
from typing import Self

import msgspec

from imgserve.request.dialects.iiif.config import Config
from imgserve.request.dialects.iiif.grammar import FORMATS
from imgserve.request.dialects.iiif.numbers import rounded
from imgserve.request.formats import MAX_SIDE_OF_FORMAT
from imgserve.request.imageinfo import Size
from imgserve.request.limits import MAX_SIDE_PX, Limits


class Bounds(msgspec.Struct, frozen=True):
    width_px: int
    height_px: int
    area_px: int

    @classmethod
    def of(cls, config: Config, limits: Limits) -> Self:
        # Each size that info.json offers can be had in each format that it offers.
        of_formats = [MAX_SIDE_OF_FORMAT.get(FORMATS[one], MAX_SIDE_PX) for one in config.formats]
        most = min(limits.output_side_px, *of_formats)
        width = min(config.max_width or most, most)
        height = min(config.max_height or width, most)
        return cls(width, height, min(config.max_area or limits.output_pixels, limits.output_pixels))

    def admits(self, size: Size) -> bool:
        return (
            size.width_px <= self.width_px
            and size.height_px <= self.height_px
            and size.width_px * size.height_px <= self.area_px
        )

    def largest(self, region: Size) -> Size:
        """The largest size of the region's shape. Larger than the region, if the limits are."""
        width, height = region.width_px, region.height_px
        # The sides times the root of the quotient of the areas, rounded down.
        by_area = isqrt(self.area_px * width // height), isqrt(self.area_px * height // width)
        return self._within_sides(*by_area, region)

    def reduced(self, region: Size) -> Size:
        """The largest size of the region's shape that does not enlarge it."""
        if region.width_px * region.height_px > self.area_px:
            return self.largest(region)
        return self._within_sides(region.width_px, region.height_px, region)

    def _within_sides(self, width: int, height: int, region: Size) -> Size:
        shape = Fraction(region.width_px, region.height_px)
        if width > self.width_px:
            width, height = self.width_px, rounded(self.width_px / shape)
        if height > self.height_px:
            # The area may have rounded the width down to its limit.
            width, height = min(rounded(self.height_px * shape), self.width_px), self.height_px
        # The short side of a thin picture must not vanish, and the other one makes room for it.
        width, height = max(1, width), max(1, height)
        if width > height:
            return Size(min(width, max(1, self.area_px // height)), height)
        return Size(width, min(height, max(1, self.area_px // width)))
