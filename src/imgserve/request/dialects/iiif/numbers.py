"""Numbers of IIIF URLs, read and written (Image API 3.0, section 4.7), and their rounding."""

import re
from decimal import Decimal
from fractions import Fraction
from math import floor

# Their number is limited, so that reading them costs nothing. A double written by JavaScript has up to 17 behind the
# point, and up to six zeros before those.
WHOLE = r"[0-9]{1,10}"
DECIMAL = r"(?:[0-9]{1,10}(?:\.[0-9]{1,25})?|\.[0-9]{1,25})"

_TRAILING = re.compile(r"\.?0*\Z")


def written(number: float) -> str:
    """The shortest text that reads as this number: without exponent and trailing zeros."""
    text = format(Decimal(repr(number)), "f")
    return _TRAILING.sub("", text) if "." in text else text


def rounded(number: Fraction) -> int:
    """Half up."""
    return floor(number + Fraction(1, 2))
