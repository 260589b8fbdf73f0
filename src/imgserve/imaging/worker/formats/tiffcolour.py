"""Colour models of TIFF that libvips mistakes for others. Called by load, before and after it opens the file.

libvips packs CIE L*a*b* of 8 and 16 bits its own way, refuses it without a* and b* and makes it transparent, so it is
opened as RGB. The signs and offsets of the models are corrected here: TIFF 6.0, sections 21 and 23; ICCLab: Adobe
Photoshop TIFF Technical Notes (2002); ITULab: RFC 2301, section 6.2.3.

Colours that are multiplied by their alpha (section 18) are divided here too: libvips rounds down, to a white of 254.
"""

from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.formats import tiff
from imgserve.imaging.worker.source import Data

_BITS, _COMPRESSION, _PHOTOMETRIC, _SUBSAMPLING, _COEFFICIENTS = 258, 259, 262, 530, 529
_EXTRA = 338
_MULTIPLIED, _ALONE = 1, 2  # the alpha of an image: its colours are multiplied by it, or not
_BLACK_IS_ZERO = 1
_RGB, _YCBCR, _CIELAB, _ICCLAB, _ITULAB = 2, 6, 8, 9, 10
_JPEG = {6.0, 7.0}
_BT_601 = (0.299, 0.587, 0.114)
_COLOURS = 3
_WHOLE_BITS = (8, 16)
# The largest sample, and one step of 8 bits in it. Each model has its own rule for signs, whatever the file says.
_WHOLE = {"uchar": (255.0, 1.0), "char": (255.0, 1.0), "ushort": (65535.0, 256.0), "short": (65535.0, 256.0)}
_SIGNED = {"char": 256.0, "short": 65536.0}
_REAL = ("float", "double")
_PROFILE = "icc-profile-data"


class Model(NamedTuple):
    """``coefficients``: of red, green and blue in Y."""

    photometric: int
    bits: int
    is_packed: bool  # chroma for several pixels at once, or JPEG: libtiff makes RGB of it
    coefficients: tuple[float, ...]
    is_multiplied: bool = False  # and nothing else


def prepared(data: Data) -> tuple[Data, Model | None]:
    """The file for libvips, and its model, if libvips does not read it correctly."""
    model = _model(data)
    if model is not None and model.is_multiplied:
        return tiff.with_value(data, _EXTRA, _ALONE), model
    is_packed_lab = model is not None and model.photometric == _CIELAB and model.bits in _WHOLE_BITS
    return tiff.with_value(data, _PHOTOMETRIC, _RGB) if is_packed_lab else data, model


def _model(data: Data) -> Model | None:
    tags = tiff.tags(data, (_BITS, _COMPRESSION, _PHOTOMETRIC, _SUBSAMPLING, _COEFFICIENTS, _EXTRA))
    photometric = int(next(iter(tags.get(_PHOTOMETRIC, [])), _RGB))
    bits = int(next(iter(tags.get(_BITS, [])), 1))
    if photometric in (_BLACK_IS_ZERO, _RGB) and tags.get(_EXTRA) == [_MULTIPLIED] and bits in _WHOLE_BITS:
        return Model(photometric, bits, is_packed=False, coefficients=(), is_multiplied=True)
    if photometric not in (_YCBCR, _CIELAB, _ICCLAB, _ITULAB):
        return None
    is_jpeg = bool(set(tags.get(_COMPRESSION, [])) & _JPEG)
    is_packed = is_jpeg or tags.get(_SUBSAMPLING, [2.0, 2.0]) != [1.0, 1.0]
    coefficients = tuple(tags.get(_COEFFICIENTS, []))
    is_usable = len(coefficients) == _COLOURS and coefficients[1] > 0
    return Model(photometric, bits, is_packed, coefficients if is_usable else _BT_601)


def read(image: pyvips.Image, model: Model) -> pyvips.Image:
    """The image in a colour space that libvips knows."""
    if model.is_multiplied:
        return image.unpremultiply().rint().cast(image.format) if image.format in _WHOLE else image
    if model.photometric == _YCBCR:
        return _from_ycbcr(image, model)
    if image.format not in _WHOLE and not (image.format in _REAL and model.photometric == _CIELAB):
        return image.copy(interpretation="multiband")  # measurements, for load to refuse
    is_grey = image.bands < _COLOURS  # L* alone, or with alpha
    lab = _with_alpha(_planes(image, model.photometric, is_grey=is_grey), image, 1 if is_grey else _COLOURS)
    # Lab in TIFF is under D50, as in ICC profiles and in Photoshop; libvips' own conversion would take D65.
    srgb = lab.copy(interpretation="lab").icc_export(output_profile="srgb", pcs="lab", intent="relative", depth=8)
    if not is_grey:
        return srgb
    grey = srgb[1] if srgb.bands == _COLOURS else srgb[1].bandjoin(srgb[_COLOURS])
    grey = grey.copy(interpretation="b-w")
    grey.remove(_PROFILE)
    return grey


def _planes(image: pyvips.Image, photometric: int, *, is_grey: bool) -> pyvips.Image:
    """L*, a* and b* of 8 or 16 bits, or of real numbers."""
    light, *others = (_unsigned(image, n) for n in range(1 if is_grey else _COLOURS))
    if image.format in _REAL:
        return light.bandjoin(others or [0, 0])
    whole, step = _WHOLE[image.format]
    white = 255 * step if photometric == _ICCLAB else whole
    light = light * (100 / white)
    if is_grey:
        return light.bandjoin([0, 0])
    first, second = others
    if photometric == _CIELAB:
        return light.bandjoin([_below_zero(plane, step) / step for plane in others])
    if photometric == _ICCLAB:
        return light.bandjoin([plane / step - 128 for plane in others])
    return light.bandjoin([(first - 128 * step) * (170 / whole), (second - 96 * step) * (200 / whole)])


def _unsigned(image: pyvips.Image, band: int) -> pyvips.Image:
    plane = image.extract_band(band).cast("float")
    return (plane < 0).ifthenelse(plane + _SIGNED[image.format], plane) if image.format in _SIGNED else plane


def _below_zero(plane: pyvips.Image, step: float) -> pyvips.Image:
    """Two's complement of 8 or 16 bits."""
    return (plane > 128 * step - 1).ifthenelse(plane - 256 * step, plane)


def _with_alpha(lab: pyvips.Image, image: pyvips.Image, band: int) -> pyvips.Image:
    """With the file's band behind the colours, from 0 to 255."""
    if image.bands <= band:
        return lab
    whole, _ = _WHOLE.get(image.format, (255.0, 1.0))
    return lab.bandjoin((_unsigned(image, band) * (255 / whole)).rint())


def _from_ycbcr(image: pyvips.Image, model: Model) -> pyvips.Image:
    if image.format != "uchar" or image.bands < _COLOURS:
        return image
    if model.is_packed:
        return image.extract_band(0, n=_COLOURS)  # libtiff adds a fourth without a meaning
    in_red, in_green, in_blue = model.coefficients
    light, blue_off, red_off = (image.extract_band(n).cast("float") for n in range(_COLOURS))
    red = (red_off - 128) * (2 - 2 * in_red) + light
    blue = (blue_off - 128) * (2 - 2 * in_blue) + light
    green = (light - blue * in_blue - red * in_red) / in_green
    planes = [plane.rint().cast("uchar") for plane in (green, blue)]
    if image.bands > _COLOURS:
        planes.append(image.extract_band(_COLOURS, n=image.bands - _COLOURS))
    return red.rint().cast("uchar").bandjoin(planes).copy(interpretation="srgb")
