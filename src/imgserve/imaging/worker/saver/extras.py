"""The colours of a result, and what it keeps of its source beside the pixels. Called by ``pipeline``."""

from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import load
from imgserve.imaging.worker.colour import convert, numbers, profile
from imgserve.imaging.worker.metadata import kept
from imgserve.imaging.worker.metadata.kept import Blocks
from imgserve.imaging.worker.picture import Picture
from imgserve.request.encode import Encode, Format
from imgserve.request.imageinfo import Size


class Extras(NamedTuple):
    """An ICC profile, empty for none, and metadata."""

    profile: bytes = b""
    blocks: Blocks = Blocks()


def in_its_profile(picture: Picture, image: pyvips.Image, encode: Encode) -> pyvips.Image:
    """A finished canvas in the profile of the result. A load has converted colours that were not sRGB."""
    if encode.profile == "p3" and not load.is_in_p3(picture):
        return convert.srgb_to_p3(image)
    return image


def of(picture: Picture, image: pyvips.Image, encode: Encode, output_format: Format) -> Extras:
    """``image`` is the finished picture. Raises SourceUnreadable."""
    embedded = b""
    if encode.profile == "p3" and image.bands > 2:
        embedded = numbers.display_p3()
    elif encode.profile == "source" and picture.format != "svg":
        is_of_bands = profile.bands_of(picture.kept_profile) == (1 if image.bands <= 2 else 3)
        embedded = picture.kept_profile if is_of_bands else b""
    return Extras(embedded, kept.of(picture, encode, output_format, Size(image.width, image.get_page_height())))
