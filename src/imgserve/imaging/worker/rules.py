"""What each profile asks of a picture that becomes smaller. Called by formats and steps/resize."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from imgserve.request.encode import RenderProfile


class Rule(NamedTuple):
    """``left``: how much of the way a JPEG's decoder leaves to the resampler at least, by stored values;
    ``left_in_light``: by light. Light is used on a way of ``least_way`` and more, and in a JPEG for results of
    ``least_pixels`` and more.
    """

    left: float
    left_in_light: float
    least_way: float
    least_pixels: float


RULES: Mapping[RenderProfile, Rule] = {
    "speed": Rule(1.5, math.inf, math.inf, math.inf),
    # libvips' rule for stored values. In light 1.5 is enough for the same quality; on a shorter way light shows little,
    # and in smaller results too: a JPEG's decoder has made most of the way by stored values.
    "balanced": Rule(2, 1.5, 1.5, 65_536),
    "quality": Rule(3, 3, 1, 0),
}
