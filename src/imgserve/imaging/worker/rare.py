"""Formats that libvips does not read: HEIC, BMP and ICO. Called by load.

Their headers are read here in a moment; their pixels are decoded by libraries that are imported with the first such
picture, since most workers never see one.
"""

from collections.abc import Callable
from typing import NamedTuple

import pyvips

from imgserve.imaging.abilities import heic_module
from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import vips
from imgserve.imaging.worker.formats import apng, bmp, heic, ico
from imgserve.imaging.worker.formats.turns import UPRIGHT
from imgserve.imaging.worker.source import Data
from imgserve.request.imageinfo import Size, SourceFormat

_PROFILE = "icc-profile-data"


class Rare(NamedTuple):
    """A picture by its header. ``coded``: the pixels that are decoded; ``size``: those that are shown, as stored.

    ``orientation`` is EXIF's number. ``decode`` returns the pixels in memory and raises SourceUnreadable.
    """

    coded: Size
    size: Size
    decode: Callable[[], pyvips.Image]
    orientation: int = UPRIGHT
    has_alpha: bool = False
    profile: bytes | None = None


def read(data: Data, source_format: SourceFormat) -> Rare | None:
    """None for formats that libvips reads. Raises SourceUnreadable."""
    match source_format:
        case "heic":
            return _heic(data)
        case "bmp":
            size = bmp.size(data)
            return Rare(size, size, lambda: bmp.decode(data), has_alpha=bmp.has_alpha(data))
    return None


def of_icon(data: Data, icon: ico.Icon) -> Rare:
    """A picture in an icon that is no PNG."""
    return Rare(icon.size, icon.size, lambda: ico.decode(icon.bytes_in(data), icon.bits), has_alpha=True)


def of_frame(data: Data, number: int) -> Rare:
    """A frame of an animated PNG, whose header libvips reads. Raises SourceUnreadable."""
    try:
        header = pyvips.Image.pngload_source(pyvips.Source.new_from_memory(data))
    except pyvips.Error as error:
        raise SourceUnreadable("the source looks like PNG but has no header", "save it anew") from error
    size = Size(header.width, header.height)
    turned = int(header.get("orientation")) if vips.has(header, "orientation") else UPRIGHT
    return Rare(size, size, lambda: next(apng.composed(data, number, 1)), turned)


def opened(picture: Rare, loader: str) -> pyvips.Image:
    """Its pixels, with the metadata that libvips' loaders give. Raises SourceUnreadable."""
    image = picture.decode().copy()
    image.set_type(pyvips.GValue.gstr_type, "vips-loader", loader)
    image.set_type(pyvips.GValue.gint_type, "orientation", picture.orientation)
    if picture.profile is not None:
        image.set_type(pyvips.GValue.blob_type, _PROFILE, picture.profile)
    return image


def _heic(data: Data) -> Rare:
    header = heic.read(data)
    if heic_module() is None:
        raise heic.absent()
    shown = Size(header.shown.width, header.shown.height)
    return Rare(
        header.coded,
        shown,
        lambda: heic.decode(data, header),
        header.orientation,
        heic.has_alpha(header),
        heic.profile(data),
    )
