"""Colours of a recipe as the samples of a canvas. Called by the steps."""

import pyvips

from imgserve.imaging.worker.colour.convert import Rgba

_OPAQUE = 255


def rgba(text: str) -> Rgba:
    """``#rrggbb`` or ``#rrggbbaa``, 0 to 255 each."""
    red, green, blue, alpha = bytes.fromhex(f"{text.removeprefix('#')}ff")[:4]
    return red, green, blue, alpha


def coloured(image: pyvips.Image) -> pyvips.Image:
    """A grey picture as RGB, its alpha too; any other one as it is."""
    return image.colourspace("rgb16" if image.format == "ushort" else "srgb") if image.bands <= 2 else image


def with_room_for(image: pyvips.Image, ink: Rgba) -> pyvips.Image:
    """The picture as RGB if the ink has a colour, and with an alpha if the ink is not opaque."""
    if len(set(ink[:3])) > 1:
        image = coloured(image)
    if ink[3] < _OPAQUE and not image.hasalpha():
        image = image.bandjoin(most(image))
    return image


def most(image: pyvips.Image) -> int:
    """The highest value of a sample of a canvas."""
    return 65_535 if image.format == "ushort" else _OPAQUE


def samples(ink: Rgba, image: pyvips.Image) -> list[int]:
    """The ink in the bands and the depth of a picture that has room for it."""
    colours = list(ink[:3]) if image.bands > 2 else [ink[0]]
    return [level * most(image) // _OPAQUE for level in (*colours, ink[3])][: image.bands]
