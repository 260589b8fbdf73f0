"""Converts colours for the savers: to 8 bits, sRGB or grey, with any alpha. Called by load, pipeline, save and svg."""

from typing import Literal

import pyvips

_GREY = {"b-w", "grey16"}
_MAX_BANDS = 4
_OPAQUE = 255
_LEVELS_OF_16_BITS = 257  # for each of 8

Target = Literal["srgb", "p3"]
Rgba = tuple[int, int, int, int]


def to_srgb(image: pyvips.Image) -> pyvips.Image:
    """Any colour space and depth to ``height x width x 1-4 bands, uint8``; grey stays grey."""
    wanted = "b-w" if image.interpretation in _GREY else "srgb"
    if image.interpretation != wanted:
        image = image.colourspace(wanted)
    if image.bands > _MAX_BANDS:
        image = image.extract_band(0, n=_MAX_BANDS)
    return image if image.format == "uchar" else image.cast("uchar")


def to_canvas(image: pyvips.Image, *, is_deep: bool) -> pyvips.Image:
    """As ``to_srgb``. ``is_deep``: a picture of more than 8 bits a sample comes in uint16."""
    if not is_deep or image.format == "uchar":
        return to_srgb(image)
    wanted = "grey16" if image.interpretation in _GREY else "rgb16"
    image = image if image.interpretation == wanted else image.colourspace(wanted)
    if image.bands > _MAX_BANDS:
        image = image.extract_band(0, n=_MAX_BANDS)
    return image if image.format == "ushort" else image.cast("ushort")


def to_8_bits(image: pyvips.Image) -> pyvips.Image:
    """A canvas in uint8, rounded."""
    if image.format == "uchar":
        return image
    colours = "b-w" if image.interpretation in _GREY else "srgb"
    return (image / _LEVELS_OF_16_BITS).rint().cast("uchar").copy(interpretation=colours)


def to_16_bits(image: pyvips.Image) -> pyvips.Image:
    """A canvas in uint16."""
    if image.format == "ushort":
        return image
    colours = "grey16" if image.interpretation in _GREY else "rgb16"
    return (image * _LEVELS_OF_16_BITS).cast("ushort").copy(interpretation=colours)


def from_profile(image: pyvips.Image, target: Target = "srgb", *, is_deep: bool = False) -> pyvips.Image:
    """By the embedded profile; libvips takes a broken one, or one of another kind of picture, for sRGB.

    ``is_deep``: 16 bits stay 16.
    """
    return image.icc_transform(target, embedded=True, depth=_depth(image) if is_deep else 8)


def srgb_to_p3(image: pyvips.Image) -> pyvips.Image:
    """A canvas in Display P3. Grey looks the same in both: white and curve are equal."""
    if image.bands <= 2:
        return image
    interpretation, depth = image.interpretation, _depth(image)
    return image.icc_transform("p3", input_profile="srgb", depth=depth).copy(interpretation=interpretation)


def srgb_to(image: pyvips.Image, profile: bytes) -> pyvips.Image:
    """A canvas in the colours of an RGB profile."""
    interpretation, depth = image.interpretation, _depth(image)
    if image.bands <= 2:
        image = image.colourspace("rgb16" if depth == 16 else "srgb")
        interpretation = image.interpretation
    connected = image.icc_import(input_profile="srgb").copy()
    connected.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return connected.icc_export(depth=depth).copy(interpretation=interpretation)


def _depth(image: pyvips.Image) -> int:
    return 16 if image.format == "ushort" else 8


def over(image: pyvips.Image, ground: Rgba) -> pyvips.Image:
    """RGBA composited over a colour, rounded, as RGBA (W3C Compositing and Blending Level 1, section 5.1)."""
    above = image.extract_band(3) / _OPAQUE
    below = (1 - above) * (ground[3] / _OPAQUE)
    alpha = above + below
    colours = image.extract_band(0, n=3) * above + below * list(ground[:3])
    if ground[3] < _OPAQUE:
        colours = colours / alpha  # alpha is nowhere 0 here
    return colours.bandjoin(alpha * _OPAQUE).rint().cast("uchar").copy(interpretation="srgb")


def parse_hex(text: str) -> list[int]:
    """``#rrggbb`` as three numbers from 0 to 255."""
    return list(bytes.fromhex(text.removeprefix("#")))
