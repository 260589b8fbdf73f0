"""Reads a source's header, and checks that it may be decoded. Called by ``__main__.py`` and pipeline.

A JPEG, PNG, BMP or HEIC may be measured by its first bytes. The others must be complete: TIFF and AVIF may keep their
tables at the end, the frames of GIF and WebP must be counted, and an SVG is one document.
"""

import msgspec

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import bounds, load
from imgserve.imaging.worker.detect import detect
from imgserve.imaging.worker.formats import isobmff, webp
from imgserve.imaging.worker.picture import Picture, too_many_parts
from imgserve.imaging.worker.source import Data
from imgserve.imaging.worker.svg import sizing, svgz
from imgserve.imaging.worker.svg.watch import Watch, unwatched
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import Limits
from imgserve.request.recipe import DEFAULT_LOAD, LoadOptions

# libwebp needs little for a few times the frames that may be taken: its time grows with the square of all.
_MOST_SKIPPED = 4
_EARLY_FORMATS = frozenset({"jpeg", "png", "bmp", "heic"})


def probe(
    data: Data,
    limits: Limits,
    *,
    is_complete: bool,
    source_bytes: int = 0,
    options: LoadOptions = DEFAULT_LOAD,
    watched: Watch = unwatched,
) -> ImageInfo | None:
    """None while more bytes are needed. Raises SourceUnreadable, PageMissing, SvgInvalid, PictureTooLarge.

    ``source_bytes``: the length of an incomplete source so far; ``data`` may be only its beginning.
    """
    if svgz.is_packed(data):
        bounds.check_svg_bytes(len(data), limits)
        if not is_complete:
            return None
        data = svgz.unpacked(data, limits)
    source_format = detect(data, is_complete=is_complete)
    if source_format is None:
        return None
    if is_complete:
        return measure(Picture(data, source_format, options), limits, watched)
    if source_format == "svg":
        bounds.check_svg_bytes(max(len(data), source_bytes), limits)
    if source_format not in _EARLY_FORMATS or options.page:
        return None
    try:
        return measure(Picture(data, source_format, options), limits)
    except SourceUnreadable:
        return None


def needs_whole(data: Data, options: LoadOptions) -> bool:
    """Whether only a complete source answers the probe, of which this beginning was not enough.

    Not for an SVG: one that is longer than an SVG may be is refused while it comes.
    """
    source_format = None if svgz.is_packed(data) else detect(data, is_complete=False)
    if source_format is None or source_format == "svg":
        return False
    return bool(options.page) or source_format not in _EARLY_FORMATS


def measure(picture: Picture, limits: Limits, watched: Watch = unwatched) -> ImageInfo:
    """The header of a complete source, within the limits. Raises SourceUnreadable, SvgInvalid, PictureTooLarge."""
    if picture.format == "svg":
        bounds.check_svg_bytes(len(picture.data), limits)
        return ImageInfo("svg", *sizing.natural_size(bytes(picture.data), picture.options.dpi, watched))
    _check_parts(picture, limits)
    info = load.info(picture)
    # The frames before the first one taken are decoded too.
    decoded = info.frames + (picture.options.page if picture.first_frame else 0)
    bounds.check_source(msgspec.structs.replace(info, frames=decoded), limits)
    if picture.rare is not None:  # of which only a part may be shown
        coded = picture.rare.coded
        bounds.check_source(ImageInfo(info.format, coded.width_px, coded.height_px), limits)
    return info


def _check_parts(picture: Picture, limits: Limits) -> None:
    """Raises SourceUnreadable, PictureTooLarge for more parts than libwebp and libheif read in short time."""
    if picture.format == "webp":
        most = _MOST_SKIPPED * limits.frames
        frames = webp.frames_up_to(most, picture.data)
        if frames is None:
            raise too_many_parts(picture)
        bounds.check_frames(frames if frames > most else picture.options.capped(frames), limits)
    if picture.format in ("avif", "heic") and isobmff.is_flood_of_boxes(picture.data):
        raise too_many_parts(picture)
