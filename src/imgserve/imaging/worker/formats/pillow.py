"""Pillow, for formats that libvips does not read: imported with the first such picture. Called by apng, bmp and ico.

Its plug-ins are named one by one, since ``Image.open`` would load them all, and try each on a stranger's bytes.
"""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, cast

import pyvips

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker.source import Data

if TYPE_CHECKING:
    from PIL import Image

_SAMPLE = {"I;16": "ushort"}
_SPACES = {("uchar", True): "b-w", ("uchar", False): "srgb", ("ushort", True): "grey16"}
_BANDS = {"L": 1, "I;16": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_LAST_GREY = 2
_PROFILE = "icc-profile-data"


def file(data: Data) -> IO[bytes]:
    """The source as a file, without a copy of what is mapped."""
    if isinstance(data, bytes):
        return io.BytesIO(data)
    data.seek(0)
    return cast(IO[bytes], data)


@contextlib.contextmanager
def refused(name: str) -> Iterator[None]:
    """Raises SourceUnreadable for what Pillow raises on broken files."""
    try:
        yield
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, struct.error, zlib.error) as error:
        reason = "".join(letter for letter in str(error) if letter.isprintable())[:200]
        what = f"the source looks like {name} but cannot be decoded: {reason}"
        raise SourceUnreadable(what, "check that the file is complete, or save it anew") from error


def converted(image: "Image.Image") -> pyvips.Image:
    """``height x width x 1-4 bands``, 8 bits (grey up to 16), alpha last. Palettes become colours. With its profile."""
    if image.mode not in _BANDS or "transparency" in image.info:
        has_alpha = image.mode in ("PA", "La", "RGBa") or "transparency" in image.info
        colours = "L" if image.mode in ("1", "L", "La") else "RGB"
        image = image.convert(f"{colours}A" if has_alpha else colours)
    sample, bands = _SAMPLE.get(image.mode, "uchar"), _BANDS[image.mode]
    made = pyvips.Image.new_from_memory(image.tobytes(), image.width, image.height, bands, sample)
    made = made.copy(interpretation=_SPACES[sample, bands <= _LAST_GREY])
    profile = image.info.get("icc_profile")
    if profile:
        made.set_type(pyvips.GValue.blob_type, _PROFILE, profile)
    return made
