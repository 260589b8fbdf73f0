"""The fast path for an AVIF, or a part of it, that becomes smaller. Called by ``steps/resize.py``.

It is made smaller in its planes, the luma by its light (``planes``), and becomes RGB then. An unusual AVIF is left to
libvips, and one with transparency or with other colours than sRGB too.
"""

from functools import lru_cache

import pyvips

from imgserve.imaging.worker import cover
from imgserve.imaging.worker.cover import Part
from imgserve.imaging.worker.formats import dav1d, planes, resizer, turbojpeg
from imgserve.imaging.worker.formats.avifheader import Header
from imgserve.imaging.worker.formats.dav1d import YuvPlanes
from imgserve.imaging.worker.picture import Picture
from imgserve.imaging.worker.rules import RULES
from imgserve.request.imageinfo import Size

_MAX_DECODED_PIXELS = 30_000_000  # of 24 megapixels the light needs as much memory as libvips needs for RGB
_MIDDLE = 128
# ITU-T H.273, table 4: the share of red and blue in luma. An unspecified number (2) means that of BT.601.
_BT_601 = (0.299, 0.114)
_SHARES = {1: (0.2126, 0.0722), 2: _BT_601, 5: _BT_601, 6: _BT_601}


def scaled(picture: Picture, part: Part, size: Size, *, is_in_light: bool) -> pyvips.Image | None:
    """The part, upright, exactly ``size``, in memory: 3 bands. None if another road is to be taken."""
    header = picture.plain_avif
    if header is None or not _is_for_planes(picture, header):
        return None
    place = cover.as_stored(part, size, header.size, header.orientation)
    if cover.factor(*place) < 1:
        return None
    is_in_light = is_in_light and cover.factor(*place) >= RULES[picture.render_profile].least_way
    decoded = picture.cache.decoded("avif", YuvPlanes, lambda: dav1d.planes(picture.data, header))
    if decoded is None or decoded.matrix not in _SHARES:
        return None
    image = _rgb(planes.smaller(decoded.planes, *place, 1, is_in_light=is_in_light), place[1], decoded.matrix)
    return cover.upright(image, header.orientation)


def _is_for_planes(picture: Picture, header: Header) -> bool:
    pixels = header.size.width_px * header.size.height_px
    is_plain = not (header.has_alpha or picture.is_beyond_srgb)
    return resizer.is_there() and pixels <= _MAX_DECODED_PIXELS and is_plain


def _rgb(samples: list[bytes], size: Size, matrix: int) -> pyvips.Image:
    """Of luma alone, or of luma and chroma, all of ``size``."""
    sides = size.width_px, size.height_px
    if len(samples) == 1:
        luma = pyvips.Image.new_from_memory(samples[0], *sides, 1, "uchar")
        return luma.bandjoin([luma, luma]).copy(interpretation="srgb")  # as libvips has it
    pixels = turbojpeg.rgb(samples, *sides) if _SHARES[matrix] == _BT_601 else None
    if pixels is not None:
        return pyvips.Image.new_from_memory(pixels.pixels, *sides, 3, "uchar").copy(interpretation="srgb")
    luma, *chroma = (pyvips.Image.new_from_memory(plane, *sides, 1, "uchar") for plane in samples)
    mixed = luma.bandjoin([*chroma, 1]).recomb(_mixture(*_SHARES[matrix]))
    return mixed.cast("uchar").copy(interpretation="srgb")


@lru_cache(maxsize=2)
def _mixture(red: float, blue: float) -> pyvips.Image:
    """Red, green and blue from luma, blue chroma, red chroma and 1, with the half that rounds. H.273, section 8.3."""
    green = 1 - red - blue
    of_red, of_blue = 2 * (1 - red), 2 * (1 - blue)
    rows = [(0.0, of_red), (-of_blue * blue / green, -of_red * red / green), (of_blue, 0.0)]
    return pyvips.Image.new_from_array([[1.0, b, r, 0.5 - _MIDDLE * (b + r)] for b, r in rows])
