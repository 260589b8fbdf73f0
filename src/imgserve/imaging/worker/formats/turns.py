"""Turns and mirrors in a row, as the one number of EXIF's orientation (Exif 2.3, section 4.6.4). Called by heic.

HEIF's own: ISO 23008-12, sections 6.5.10 (``irot``, quarters anticlockwise) and 6.5.12 (``imir``).
"""

from collections.abc import Iterable

UPRIGHT = 1
# What stands in the corners, clockwise from the upper left one, when the picture is shown.
_STORED = (0, 1, 2, 3)
_ORIENTATIONS = {
    _STORED: UPRIGHT, (1, 0, 3, 2): 2, (2, 3, 0, 1): 3, (3, 2, 1, 0): 4,
    (0, 3, 2, 1): 5, (3, 0, 1, 2): 6, (2, 1, 0, 3): 7, (1, 2, 3, 0): 8,
}  # fmt: skip
_QUARTERS, _LEFT_AND_RIGHT = 3, 1


def orientation(properties: Iterable[tuple[bytes, bytes]]) -> int:
    """Of these properties of a HEIF item, in their order; others do not count."""
    corners = _STORED
    for kind, body in properties:
        last = body[-1] if body else 0
        if kind == b"irot":
            quarters = last & _QUARTERS
            corners = (*corners[quarters:], *corners[:quarters])  # type: ignore[assignment]
        elif kind == b"imir":
            one, two, three, four = corners
            corners = (two, one, four, three) if last & _LEFT_AND_RIGHT else (four, three, two, one)
    return _ORIENTATIONS[corners]
