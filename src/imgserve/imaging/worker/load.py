"""From bytes to a first image: the type by magic number, the header, and shrink-on-load.

Called by probe, pipeline and the steps. In: the source's bytes, mapped read-only. Out: lazy libvips images, upright
and in sRGB. Decoding is strict unless the recipe says otherwise: a truncated or corrupt file is refused, never half
shown.
"""

import mmap
from functools import cached_property

import pyvips

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import gif, jpegheader, profile, tiff, vips
from imgserve.imaging.worker.jpegheader import Header
from imgserve.spec.facts import Facts, Size, SourceFormat
from imgserve.spec.formats import ANIMATED

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
_SAMPLES = {"uchar", "ushort"}
_CIE = {"scrgb", "lab", "labs", "labq", "xyz"}
_CUT_OFF_HINT = "check that the file is complete"
_LENIENT_HINT = f"{_CUT_OFF_HINT}, or set args.strict to false to take what is there"
_LENIENT_FORMATS = {"jpeg", "png", "gif", "tiff"}  # the decoders of the others give all or nothing
# libvips would take a film of AVIF for something else, decode a WebP down to the very size, and take a TIFF's page that
# happens to have half the size of the first for a smaller copy of it.
_OPENED_HERE = {"avif", "webp", "tiff"}
_LEFT_TO_RESAMPLE = 2
_MARKER, _SCAN = 0xFF, 0xDA
_FIRST_TURNED_ORIENTATION = 5  # EXIF: 5 to 8 swap width and height


class Picture:
    """A source on the worker's table. Not strict: what is left of a damaged file is shown."""

    def __init__(self, data: bytes | mmap.mmap, source_format: SourceFormat, *, is_strict: bool = True) -> None:
        self.data = tiff.without_a_flood_of_pages(data) if source_format == "tiff" else data
        self.format = source_format
        self.is_strict = is_strict
        self.fail_on = "error" if is_strict else "none"

    @cached_property
    def plain_jpeg(self) -> Header | None:
        """What a plain JPEG says of itself; None for everything that only libvips understands."""
        return jpegheader.read(self.data) if self.format == "jpeg" else None

    @cached_property
    def header(self) -> pyvips.Image:
        """The picture with nothing but its header read. Raises SourceUnreadable."""
        load = getattr(pyvips.Image, f"{_LOADER[self.format]}_source")
        try:
            return load(_source(self), fail_on=self.fail_on, access="sequential")
        except pyvips.Error as error:
            raise unreadable(self, error) from error


def facts(picture: Picture) -> Facts:
    """Size after orientation, and frames, of anything but an SVG. Raises SourceUnreadable."""
    if picture.plain_jpeg is not None:
        return Facts("jpeg", *_upright_sides(picture.plain_jpeg, picture.plain_jpeg.orientation))
    image = picture.header
    _check_samples(image)
    names = image.get_fields()
    width, height = _upright_sides(image, orientation(image))
    frames = image.get("n-pages") if picture.format in ANIMATED and "n-pages" in names else 1
    return Facts(picture.format, width, height, frames)


def _upright_sides(stored: pyvips.Image | Header, orientation: int) -> tuple[int, int]:
    is_turned = orientation >= _FIRST_TURNED_ORIENTATION
    return (stored.height, stored.width) if is_turned else (stored.width, stored.height)


def covering(picture: Picture, size: Size, crop: str) -> pyvips.Image:
    """The first load of a resize: shrunk while decoding, upright, sRGB, cropped to ``size`` (uint8 or what it was).

    ``crop`` is libvips' word: low, centre, high, attention, entropy. Raises SourceUnreadable.
    """
    # Building a colour transform costs half as much as the whole render of a photograph: only where there is a profile.
    transform = {"output_profile": "srgb"} if has_profile(picture) else {}
    wanted = {"height": size.height_px, "size": "both", "crop": crop, **transform}
    try:
        if picture.format in _OPENED_HERE or _spare_bands(picture.header):
            image = _without_spare_bands(_shrunk(picture, size)).thumbnail_image(size.width_px, **wanted)
        else:
            # the operation's own fail_on does not reach the loader (8.18.7)
            option = f"[fail_on={picture.fail_on}]"
            image = pyvips.Image.thumbnail_source(_source(picture), size.width_px, option_string=option, **wanted)
    except pyvips.Error as error:
        raise unreadable(picture, error) from error
    check_end(picture)
    loader = image.get("vips-loader")
    if not loader.startswith(_LOADER[picture.format]):
        raise SourceUnreadable("the source begins like one kind of picture and goes on like another")
    return image


def _shrunk(picture: Picture, size: Size) -> pyvips.Image:
    """As stored; a WebP decoded at a whole fraction of its size, which is a plain mean of each block of pixels.

    At least a factor of two is left to the resampler: a mean alone lets through patterns that come out as moire.
    """
    header = picture.header
    sides = _upright_sides(header, orientation(header))
    spare = min(sides[0] / size.width_px, sides[1] / size.height_px)
    shrink = int(spare / _LEFT_TO_RESAMPLE)
    if picture.format != "webp" or shrink < 2:
        return header
    option = {"scale": 1 / shrink, "fail_on": picture.fail_on, "access": "sequential"}
    return pyvips.Image.webpload_source(_source(picture), **option)


def has_profile(picture: Picture) -> bool:
    """Whether its colours have to be converted: a profile that says sRGB changes nothing."""
    header = picture.header
    return _PROFILE in header.get_fields() and not profile.is_srgb(header.get(_PROFILE))


def is_turned(image: pyvips.Image) -> bool:
    """Whether EXIF says that it is stored mirrored or turned."""
    return orientation(image) > 1


def unreadable(picture: Picture, error: pyvips.Error) -> SourceUnreadable:
    return SourceUnreadable(
        f"the source looks like {picture.format.upper()} but cannot be decoded: {vips.reason(error)}",
        _hint(picture),
    )


def too_many_parts(picture: Picture) -> SourceUnreadable:
    what = f"the source is a {picture.format.upper()} of more parts than a picture has"
    return SourceUnreadable(what, "save it anew with an image editor")


def frames(picture: Picture) -> pyvips.Image:
    """All frames of a GIF or WebP, one below the other, as stored: neither upright nor sRGB. Raises SourceUnreadable.

    For a reader that goes down frame by frame and never back.
    """
    check_end(picture)
    try:
        load = getattr(pyvips.Image, f"{_LOADER[picture.format]}_source")
        return load(_source(picture), n=-1, fail_on=picture.fail_on, access="sequential")
    except pyvips.Error as error:
        raise unreadable(picture, error) from error


def check_end(picture: Picture) -> None:
    """Raises SourceUnreadable for a strict picture without its end mark; decoding does not always come that far."""
    if picture.is_strict and not has_its_end(picture):
        raise SourceUnreadable(f"the source is a {picture.format.upper()} that is cut off", _hint(picture))


def _check_samples(image: pyvips.Image) -> None:
    """Raises SourceUnreadable for measurements: what is black and what is white in them only their maker knows."""
    if image.format not in _SAMPLES and image.interpretation not in _CIE:
        raise SourceUnreadable(
            f"the source's samples are of the kind {image.format}, which says neither what is black nor what is white",
            "send 8 or 16 bits without sign",
        )


def _spare_bands(image: pyvips.Image) -> int:
    """Bands beyond the colours and one alpha."""
    return max(0, int(image.bands) - (5 if image.interpretation == "cmyk" else 4))


def _without_spare_bands(image: pyvips.Image) -> pyvips.Image:
    spare = _spare_bands(image)
    return image.extract_band(0, n=image.bands - spare) if spare else image


def _hint(picture: Picture) -> str:
    return _LENIENT_HINT if picture.is_strict and picture.format in _LENIENT_FORMATS else _CUT_OFF_HINT


def orientation(image: pyvips.Image) -> int:
    """EXIF's number, 1 to 8; 1 where there is none."""
    return int(image.get("orientation")) if "orientation" in image.get_fields() else 1


def has_its_end(picture: Picture) -> bool:
    """False for a JPEG, PNG or GIF without its end mark, which decoding misses when it needs no last row or frame.

    The search starts behind a JPEG's headers, for a thumbnail in them has an end mark of its own.
    """
    if picture.format == "png":
        return picture.data.rfind(b"IEND") > 0
    if picture.format == "jpeg":
        return picture.data.rfind(b"\xff\xd9", _start_of_scan(picture.data)) > 0
    if picture.format == "gif":
        return gif.has_trailer(picture.data)
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
