"""cykooz-resizer, if there is a wheel for this machine: Lanczos by vector instructions. Called by jpeg and planes."""

import sys
from typing import Literal

from imgserve.imaging.worker.cover import Part
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

Samples = Literal["U8", "U8x3", "U16"]


def is_there() -> bool:
    return library is not None


def resized(pixels: bytes, width: int, height: int, part: Part, size: Size, samples: Samples) -> bytes:
    """``part`` as a picture of ``size``. It ends where the pixels end."""
    kind = getattr(library.PixelType, samples)
    result = library.ImageData(size.width_px, size.height_px, kind)
    box = library.CropBox(part.left, part.top, min(part.width, width - part.left), min(part.height, height - part.top))
    kernel = library.ResizeAlg.convolution(library.FilterType.lanczos3)
    source = library.ImageData(width, height, kind, pixels)
    library.Resizer().resize(source, result, library.ResizeOptions(kernel, crop_box=box))
    return bytes(result.get_buffer())
