"""equalize: a table for each channel, its cumulative histogram. Called by ``pipeline.py``.

Not libvips' ``hist_equal``, which makes a picture of one colour white, and its darkest value no black.
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.equalize import Equalize


def applied(canvas: Canvas, _operation: Equalize, _size: Size) -> Canvas:
    canvas = canvas._replace(image=canvas.image.copy_memory())  # it is read twice
    tables = [_table(counts, canvas.most) for counts in _histograms(canvas.first)]
    levels = array("H" if canvas.most > 255 else "B", chain.from_iterable(zip(*tables, strict=True)))
    table = pyvips.Image.new_from_memory(levels.tobytes(), canvas.most + 1, 1, len(tables), canvas.image.format)
    return canvas.of_colours(lambda colours: colours.maplut(table))


def _histograms(image: pyvips.Image) -> list[Sequence[int]]:
    """For each channel how many visible pixels have each level."""
    colours, hidden = image, 0
    if image.hasalpha():
        is_hidden = image[image.bands - 1] == 0
        hidden = round(is_hidden.avg() / 255 * image.width * image.height)
        colours = is_hidden.ifthenelse(0, image.extract_band(0, n=image.bands - 1))
    counts = array("I", bytes(colours.hist_find().write_to_memory()))
    channels = [counts[channel :: colours.bands] for channel in range(colours.bands)]
    for channel in channels:
        channel[0] -= hidden
    return [*channels]


def _table(counts: Sequence[int], most: int) -> Iterable[int]:
    """The new value of each level: the part of the pixels above the lowest level that is not above this one."""
    lowest = next((count for count in counts if count), 0)
    above = [max(0, seen - lowest) for seen in accumulate(counts)]
    if not above[-1]:
        return range(most + 1)
    values = [(2 * most * seen + above[-1]) // (2 * above[-1]) for seen in above]
    return values + [most] * (most + 1 - len(values))  # 16 bits: libvips counts up to the highest level
