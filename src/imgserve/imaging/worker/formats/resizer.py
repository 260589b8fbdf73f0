"""cykooz-resizer, if there is a wheel for this machine: Lanczos by vector instructions. Called by jpeg, avif, planes
and scale.
"""

import math
import sys
from collections.abc import Callable
from typing import Literal

from imgserve.request.imageinfo import Size

# It loads Pillow where there is one: memory, and decoders that no worker needs.
_pillow = sys.modules.get("PIL")
sys.modules["PIL"] = None  # type: ignore[assignment]
try:
    import cykooz_resizer as library
except ImportError:
    library = None
finally:
    del sys.modules["PIL"]
    if _pillow is not None:
        sys.modules["PIL"] = _pillow

Samples = Literal["U8", "U8x2", "U8x3", "U8x4", "U16", "U16x2", "U16x3", "U16x4"]
Box = tuple[float, float, float, float]  # left, top, width and height
Rows = Callable[[int, int], bytes]  # the pixels of so many rows from this one on
_BY_ALPHA = ("U16x2", "U16x4")
_LANCZOS_REACH = 3  # pixels of the result, to each side


def is_there() -> bool:
    return library is not None


def resized(pixels: bytes, width: int, height: int, part: Box, size: Size, samples: Samples) -> bytes:
    """``part`` as a picture of ``size``. It ends where the pixels end. Colours count by an alpha of 16 bits."""
    kind = getattr(library.PixelType, samples)
    result = library.ImageData(size.width_px, size.height_px, kind)
    left, top, across, down = part
    box = library.CropBox(left, top, min(across, width - left), min(down, height - top))
    kernel = library.ResizeAlg.convolution(library.FilterType.lanczos3)
    source = library.ImageData(width, height, kind, pixels)
    options = library.ResizeOptions(kernel, use_alpha=samples in _BY_ALPHA, crop_box=box)
    library.Resizer().resize(source, result, options)
    return bytes(result.get_buffer())


def in_bands(
    rows: Rows, width: int, height: int, part: Box, size: Size, samples: Samples, *, most_pixels: int
) -> bytes:
    """As ``resized``, of about so many pixels at a time, which bounds the memory. No seam is seen between the bands,
    since each is made of the rows above and below it too.
    """
    left, top, across, down = part
    step, bands = down / size.height_px, []
    margin = math.ceil(_LANCZOS_REACH * max(step, 1)) + 1
    count = max(round(most_pixels / width / step), 1)
    for begin in range(0, size.height_px, count):
        end = min(begin + count, size.height_px)
        upper, lower = top + begin * step, top + end * step
        first, last = max(math.floor(upper) - margin, 0), min(math.ceil(lower) + margin, height)
        box, of_band = (left, upper - first, across, lower - upper), Size(size.width_px, end - begin)
        bands.append(resized(rows(first, last - first), width, last - first, box, of_band, samples))
    return b"".join(bands)
