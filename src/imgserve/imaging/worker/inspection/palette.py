"""The dominant colours of a small picture, by median cut (Heckbert, Color Image Quantization, SIGGRAPH 1982).

The box of all pixels is cut at the median of its longest side, then the box with the most to gain, until there are
enough. A box becomes the mean of its pixels.
"""

from collections.abc import Sequence

from imgserve.imaging.messages import Dominant

MOST = 6
_OPAQUE = 128
# Boxes that differ less from each other look alike.
_ALIKE = 24

Pixel = tuple[int, ...]


def palette(rgba: Sequence[int]) -> tuple[Dominant, ...]:
    """The most frequent first. Transparent pixels do not count; of a transparent picture there is none."""
    pixels = [tuple(rgba[at : at + 3]) for at in range(0, len(rgba), 4) if rgba[at + 3] >= _OPAQUE]
    boxes = [pixels] if pixels else []
    while len(boxes) < MOST:
        widest = max(boxes, key=lambda box: _longest(box)[0] * len(box), default=[])
        length, band = _longest(widest) if widest else (0, 0)
        if length < _ALIKE:
            break
        boxes.remove(widest)
        boxes += _cut(widest, band)
    colours = [(len(box) / len(pixels), _mean(box)) for box in boxes]
    return tuple(Dominant(colour, round(part, 3)) for part, colour in sorted(colours, reverse=True))


def _longest(box: Sequence[Pixel]) -> tuple[int, int]:
    """The longest side of a box, and its colour."""
    return max((max(values) - min(values), band) for band, values in enumerate(zip(*box, strict=True)))


def _cut(box: list[Pixel], band: int) -> list[list[Pixel]]:
    """Two boxes, neither empty. Pixels of equal value stay together."""
    values = sorted(pixel[band] for pixel in box)
    edge = values[len(values) // 2]
    if edge == values[0]:
        edge = next(value for value in values if value > edge)
    return [[pixel for pixel in box if pixel[band] < edge], [pixel for pixel in box if pixel[band] >= edge]]


def _mean(box: Sequence[Pixel]) -> str:
    return "#" + "".join(f"{round(sum(values) / len(box)):02x}" for values in zip(*box, strict=True))
