"""A picture in another size. Called by cover, load and steps/resize.

Of a picture with transparency each pixel's colour counts by its alpha, and the results are rounded: libvips' own
thumbnail multiplies in 8 bits and rounds down, which darkens nearly transparent pixels by a dozen levels.
"""

from collections.abc import Mapping
from functools import lru_cache

import pyvips

from imgserve.imaging.worker import vips
from imgserve.imaging.worker.formats import resizer
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import Size
from imgserve.request.operations.resize import Kernel

# The kernel shrinks at least this much after the means of whole blocks, which alone let fine patterns through as moire.
_LEFT_TO_KERNEL = 2
_OPAQUE = {"uchar": 255, "ushort": 65_535}
_BAND_PIXELS = 500_000
_BLACK, _WHITE = 8192, 49_151  # of light in 16 bits: beyond both there is room for what the kernel overshoots
# Of alpha in 16 bits, 192 for each level of 8. Beside transparent pixels a colour that counts by its alpha overshoots
# by as much as alpha does: were only alpha cut off, the edge would be brighter than the colour.
_OPAQUE_WIDE = 255 * 192
_BY_ALPHA: dict[int, resizer.Samples] = {2: "U16x2", 4: "U16x4"}
_OF_LIGHT: dict[int, resizer.Samples] = {1: "U16", 3: "U16x3", **_BY_ALPHA}
_OF_STORED: dict[int, resizer.Samples] = {2: "U8x2", 4: "U8x4"}


def shrink(factor: float) -> int:
    """The side of the blocks whose means come first: 1, 2, 4 ..., like libjpeg's, so that all formats look alike."""
    side = 1
    while factor >= 2 * side * _LEFT_TO_KERNEL:
        side *= 2
    return side


def resized(
    image: pyvips.Image, whole: Size, kernel: Kernel = "lanczos3", *, is_linear: bool = False, part: Part | None = None
) -> pyvips.Image:
    """Exactly this size, or the ``part`` of it. In and out: RGB or grey; with alpha uint8 or uint16, alpha last.

    ``is_linear``: the mean of light, not of its stored values; uint8 or uint16 too. The rest of a picture that grows is
    not computed, which may be a thousand times the part.
    """
    if is_linear and kernel != "nearest" and (image.width, image.height) != (whole.width_px, whole.height_px):
        return _in_linear_light(image, whole, kernel, part)
    return _cut(_of_stored_values(image, whole, kernel), part)


def _cut(image: pyvips.Image, part: Part | None) -> pyvips.Image:
    return image if part is None else image.crop(part.left, part.top, part.size.width_px, part.size.height_px)


def _of_stored_values(image: pyvips.Image, whole: Size, kernel: Kernel) -> pyvips.Image:
    if (image.width, image.height) == (whole.width_px, whole.height_px):
        return image
    if kernel == "nearest":
        return _nearest(image, whole)
    if not image.hasalpha():
        return _resized(image, whole, kernel)
    if vips.has_metadata(image) or image.width * image.height > _BAND_PIXELS:
        image = image.copy_memory()  # it is read twice; the rows of a later frame of an animation are at hand
    opaque, rows = _OPAQUE[image.format], _Rows(image)
    if _is_opaque(rows, opaque):  # most pictures do not need their alpha; without it a third of the work is left
        if image.format == "uchar" and _is_quick(image, whole, kernel):
            return _described(_made_of(rows, whole, _OF_STORED[image.bands]), image)
        return _resized(image.extract_band(0, n=image.bands - 1), whole, kernel).bandjoin(opaque)
    if _is_quick(image, whole, kernel):
        return _by_alpha(image, whole)
    return _resized(image.premultiply(), whole, kernel).unpremultiply().rint().cast(image.format)


class _Rows:
    """The rows of an image, for ``resizer.in_bands``. Those of the last call are kept, for who asks for them again."""

    def __init__(self, image: pyvips.Image) -> None:
        self.image, self.bands = image, image.bands
        self.width, self.height = image.width, image.height
        self._last, self._pixels = (0, 0), b""

    def __call__(self, first: int, count: int) -> bytes:
        if (first, count) != self._last:
            self._last, self._pixels = (first, count), b"".join(vips.strips(self.image, first, count))
        return self._pixels


def _is_opaque(rows: _Rows, opaque: int) -> bool:
    if rows.image.format != "uchar":
        return bool(rows.image[-1].min() == opaque)
    count = max(_BAND_PIXELS // rows.width, 1)
    bands = ((first, min(count, rows.height - first)) for first in range(0, rows.height, count))
    alphas = (rows(*band)[rows.bands - 1 :: rows.bands] for band in bands)
    return all(alpha.count(opaque) == len(alpha) for alpha in alphas)


def _is_quick(
    image: pyvips.Image, whole: Size, kernel: Kernel, kinds: Mapping[int, resizer.Samples] = _BY_ALPHA
) -> bool:
    is_smaller = whole.width_px <= image.width and whole.height_px <= image.height
    return resizer.is_there() and kernel == "lanczos3" and is_smaller and image.bands in kinds


def _by_alpha(image: pyvips.Image, whole: Size) -> pyvips.Image:
    """In half the time that libvips' floats need. 16 bits are enough for every level of the faintest colour."""
    bands, samples, interpretation = image.bands, image.format, image.interpretation
    wide = image.maplut(_wide_by_alpha(samples, bands)).copy(interpretation=interpretation)
    smaller = _quickly(wide, whole, _BY_ALPHA[bands])
    return smaller.maplut(_narrow_by_alpha(samples, bands)).copy(interpretation=interpretation)


def _quickly(image: pyvips.Image, whole: Size, samples: resizer.Samples) -> pyvips.Image:
    return _described(_made_of(_Rows(image), whole, samples), image)


def _made_of(rows: _Rows, whole: Size, samples: resizer.Samples) -> pyvips.Image:
    """In memory, without the metadata."""
    image, part = rows.image, (0, 0, rows.width, rows.height)
    pixels = resizer.in_bands(rows, rows.width, rows.height, part, whole, samples, most_pixels=_BAND_PIXELS)
    result = pyvips.Image.new_from_memory(pixels, whole.width_px, whole.height_px, rows.bands, image.format)
    return result.copy(interpretation=image.interpretation, xres=image.xres, yres=image.yres)


def _described(result: pyvips.Image, image: pyvips.Image) -> pyvips.Image:
    """With the metadata of ``image``, which is in memory."""
    if not vips.has_metadata(image):
        return result  # the later frames of an animation have no metadata
    described = image.crop(0, 0, 1, 1)  # with the metadata, which only an operation of libvips passes on
    return described.insert(result, 0, 0, expand=True)


def _resized(image: pyvips.Image, whole: Size, kernel: Kernel) -> pyvips.Image:
    """First what shrinks, then what grows."""
    across, down = whole.width_px / image.width, whole.height_px / image.height
    if min(across, down) < 1:
        image = _shrunk(image, min(across, 1.0), min(down, 1.0), kernel)
    return _enlarged(image, whole, kernel) if max(across, down) > 1 else image


def _shrunk(image: pyvips.Image, across: float, down: float, kernel: Kernel) -> pyvips.Image:
    if max(across, down) < 1 and shrink(1 / across) != shrink(1 / down):  # libvips has one gap for both
        return _shrunk(_shrunk(image, across, 1.0, kernel), 1.0, down, kernel)
    factor = 1 / max(side for side in (across, down) if side < 1)
    # libvips takes the whole part of the factor divided by the gap. A half more keeps both sides clear of rounding.
    return image.resize(across, vscale=down, gap=max(1.0, factor / (shrink(factor) + 0.5)), kernel=kernel)


def _enlarged(image: pyvips.Image, whole: Size, kernel: Kernel) -> pyvips.Image:
    """By bicubic interpolation. libvips' own resize moves the picture by up to half of one of its pixels."""
    across, down = whole.width_px / image.width, whole.height_px / image.height
    return image.affine(
        [across, 0, 0, down],
        interpolate=pyvips.Interpolate.new("bilinear" if kernel == "linear" else "bicubic"),
        odx=(across - 1) / 2,  # the middle of a pixel is at a whole number
        ody=(down - 1) / 2,
        oarea=[0, 0, whole.width_px, whole.height_px],
        extend="copy",
        premultiplied=True,
    )


def _nearest(image: pyvips.Image, whole: Size) -> pyvips.Image:
    """The pixel below the middle of each new one."""
    at = pyvips.Image.xyz(whole.width_px, whole.height_px).cast("double") * 2 + 1
    at = (at * [image.width, image.height] / [2 * whole.width_px, 2 * whole.height_px]).floor()
    nearest = pyvips.Interpolate.new("nearest")
    return image.copy_memory().mapim(at, interpolate=nearest, premultiplied=True, extend="copy")


def _in_linear_light(image: pyvips.Image, whole: Size, kernel: Kernel, part: Part | None) -> pyvips.Image:
    """By sRGB's curve (IEC 61966-2-1), in floats; colours count by their alpha."""
    if image.format == "uchar" and _is_quick(image, whole, kernel, _OF_LIGHT):
        return _cut(_by_light(image, whole), part)
    most, has_alpha = _OPAQUE[image.format], image.hasalpha()
    colours, alpha = image, None
    if has_alpha:
        image = image.copy_memory()
        colours, alpha = image.extract_band(0, n=image.bands - 1), image[image.bands - 1] / most
    light = colours.maplut(_light_of(image.format)).copy(interpretation="multiband")
    light = (light * alpha).bandjoin(alpha) if alpha is not None else light
    light = _cut(_resized(light, whole, kernel), part)
    if has_alpha:
        light = light.copy_memory()
        alpha = light[light.bands - 1]
        light = (alpha > 0).ifthenelse(light.extract_band(0, n=light.bands - 1) / alpha, 0)
    stored = _stored_of(light)
    stored = stored.bandjoin(alpha) if has_alpha else stored
    return (stored * most).rint().cast(image.format).copy(interpretation=image.interpretation)


def _by_light(image: pyvips.Image, whole: Size) -> pyvips.Image:
    """As ``_in_linear_light``, in 16 bits: a third of the time. The darkest levels are 15 apart there."""
    image = image.copy_memory()
    has_alpha, interpretation = image.hasalpha(), image.interpretation
    # In a space that libvips knows no alpha of.
    wide = image.maplut(_wide_light(image.bands, has_alpha)).copy(interpretation="multiband")
    smaller = _quickly(wide, whole, _OF_LIGHT[image.bands])
    return smaller.maplut(_narrow_light(image.bands, has_alpha)).copy(interpretation=interpretation)


@lru_cache(maxsize=4)
def _wide_light(bands: int, has_alpha: bool) -> pyvips.Image:
    """For each level of 8 bits, of colours and of alpha."""
    light = (_light_of("uchar") * _WHITE + _BLACK).rint().cast("ushort")
    return _with_alpha(light, _wide_alpha("uchar"), bands, has_alpha)


@lru_cache(maxsize=4)
def _narrow_light(bands: int, has_alpha: bool) -> pyvips.Image:
    light = (pyvips.Image.identity(ushort=True) - _BLACK) / _WHITE
    stored = _stored_of((light > 0).ifthenelse(light, 0)) * _OPAQUE["uchar"]
    return _with_alpha(stored.rint().cast("uchar"), _narrow_alpha("uchar"), bands, has_alpha)


@lru_cache(maxsize=4)
def _wide_by_alpha(samples: str, bands: int) -> pyvips.Image:
    """For each level, of colours and of alpha, in 16 bits."""
    levels = pyvips.Image.identity(ushort=samples == "ushort")
    return _with_alpha((levels * _wide_level(samples)).cast("ushort"), _wide_alpha(samples), bands, has_alpha=True)


@lru_cache(maxsize=4)
def _narrow_by_alpha(samples: str, bands: int) -> pyvips.Image:
    colours = (pyvips.Image.identity(ushort=True) / _wide_level(samples)).rint().cast(samples)
    return _with_alpha(colours, _narrow_alpha(samples), bands, has_alpha=True)


def _wide_level(samples: str) -> int:
    return _OPAQUE["ushort"] // _OPAQUE[samples]


def _wide_alpha(samples: str) -> pyvips.Image:
    levels = pyvips.Image.identity(ushort=samples == "ushort")
    return (levels * (_OPAQUE_WIDE / _OPAQUE[samples])).rint().cast("ushort")


def _narrow_alpha(samples: str) -> pyvips.Image:
    return (pyvips.Image.identity(ushort=True) * (_OPAQUE[samples] / _OPAQUE_WIDE)).rint().cast(samples)


def _with_alpha(colours: pyvips.Image, alpha: pyvips.Image, bands: int, has_alpha: bool) -> pyvips.Image:
    first, *others = [colours] * (bands - has_alpha) + [alpha] * has_alpha
    return (first.bandjoin(others) if others else first).copy_memory()


def _stored_of(light: pyvips.Image) -> pyvips.Image:
    return (light > 0.0031308).ifthenelse(light ** (1 / 2.4) * 1.055 - 0.055, light * 12.92)


@lru_cache(maxsize=2)
def _light_of(samples: str) -> pyvips.Image:
    stored = pyvips.Image.identity(ushort=samples == "ushort") / _OPAQUE[samples]
    light = (stored > 0.04045).ifthenelse(((stored + 0.055) / 1.055) ** 2.4, stored / 12.92)
    return light.cast("float").copy_memory()
