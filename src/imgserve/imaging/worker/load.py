"""From bytes to a first image: the type by magic number, the header, and shrink-on-load.

Called by probe, pipeline and the steps. In: the source's bytes, mapped read-only. Out: lazy libvips images, upright
and in sRGB. Decoding is strict: a truncated or corrupt file is refused, never half shown.
"""

import mmap
from functools import cached_property

import pyvips

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import profile, vips
from imgserve.spec.facts import Facts, Size, SourceFormat

_STRICT = "error"
_LOADER: dict[SourceFormat, str] = {
    "jpeg": "jpegload",
    "png": "pngload",
    "webp": "webpload",
    "gif": "gifload",
    "tiff": "tiffload",
    "avif": "heifload",
    "svg": "svgload",
}
_PROFILE = "icc-profile-data"
_CUT_OFF_HINT = "check that the file is complete"
_MARKER, _SCAN = 0xFF, 0xDA
_FIRST_TURNED_ORIENTATION = 5  # EXIF: 5 to 8 swap width and height


class Picture:
    """A source on the worker's table."""

    def __init__(self, data: bytes | mmap.mmap, source_format: SourceFormat) -> None:
        self.data = data
        self.format = source_format

    @cached_property
    def header(self) -> pyvips.Image:
        """The picture with nothing but its header read. Raises SourceUnreadable."""
        load = getattr(pyvips.Image, f"{_LOADER[self.format]}_source")
        try:
            return load(_source(self), fail_on=_STRICT, access="sequential")
        except pyvips.Error as error:
            raise unreadable(self, error) from error


def facts(picture: Picture) -> Facts:
    """Size after orientation, and frames, of anything but an SVG. Raises SourceUnreadable."""
    image = picture.header
    names = image.get_fields()
    width, height = image.width, image.height
    if "orientation" in names and image.get("orientation") >= _FIRST_TURNED_ORIENTATION:
        width, height = height, width
    frames = image.get("n-pages") if "n-pages" in names else 1
    return Facts(picture.format, width, height, frames)


def covering(picture: Picture, size: Size, crop: str) -> pyvips.Image:
    """The first load of a resize: shrunk while decoding, upright, sRGB, cropped to ``size`` (uint8 or what it was).

    ``crop`` is libvips' word: low, centre, high, attention, entropy. Raises SourceUnreadable.
    """
    # Building a colour transform costs half as much as the whole render of a photograph: only where there is a profile.
    transform = {"output_profile": "srgb"} if has_profile(picture) else {}
    try:
        image = pyvips.Image.thumbnail_source(
            _source(picture),
            size.width_px,
            height=size.height_px,
            size="both",
            crop=crop,
            **transform,
            option_string=f"[fail_on={_STRICT}]",  # the operation's own fail_on does not reach the loader (8.18.7)
        )
    except pyvips.Error as error:
        raise unreadable(picture, error) from error
    if not has_its_end(picture):
        raise SourceUnreadable(f"the source is a {picture.format.upper()} that is cut off", _CUT_OFF_HINT)
    loader = image.get("vips-loader")
    if not loader.startswith(_LOADER[picture.format]):
        raise SourceUnreadable("the source begins like one kind of picture and goes on like another")
    return image


def has_profile(picture: Picture) -> bool:
    """Whether its colours have to be converted: a profile that says sRGB changes nothing."""
    header = picture.header
    return _PROFILE in header.get_fields() and not profile.is_srgb(header.get(_PROFILE))


def unreadable(picture: Picture, error: pyvips.Error) -> SourceUnreadable:
    return SourceUnreadable(
        f"the source looks like {picture.format.upper()} but cannot be decoded: {vips.reason(error)}",
        _CUT_OFF_HINT,
    )


def has_its_end(picture: Picture) -> bool:
    """False for a JPEG or PNG without its end mark, which decoding misses when the crop needs no last row.

    The search starts behind a JPEG's headers, for a thumbnail in them has an end mark of its own.
    """
    if picture.format == "png":
        return picture.data.rfind(b"IEND") > 0
    if picture.format == "jpeg":
        return picture.data.rfind(b"\xff\xd9", _start_of_scan(picture.data)) > 0
    return True


def _start_of_scan(data: bytes | mmap.mmap) -> int:
    """Walk a JPEG's segments (ITU T.81, annex B) to the first scan; where the walk fails the decoder will judge."""
    at = 2
    while at + 4 <= len(data) and data[at] == _MARKER and data[at + 1] != _SCAN:
        is_fill_byte = data[at + 1] == _MARKER
        at += 1 if is_fill_byte else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return min(at, len(data))


def _source(picture: Picture) -> pyvips.Source:
    return pyvips.Source.new_from_memory(picture.data)
