"""From a source to a first image: its size and frames, its colours, and shrink-on-load.

Called by probe, pipeline and the steps. In: a ``picture``. Out: libvips images, upright and in sRGB. Decoding is strict
unless the recipe says otherwise: a truncated or corrupt file is refused, never shown in part.
"""

import pyvips

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import cover, scale, vips
from imgserve.imaging.worker.colour import convert, profile
from imgserve.imaging.worker.formats import apng, gif
from imgserve.imaging.worker.picture import PROFILE, RGB_OR_GREY, Picture, check_end, orientation, unreadable
from imgserve.request.formats import ANIMATED
from imgserve.request.imageinfo import ImageInfo, Size

_LAST_ORIENTATION = 8
_MOST_JPEG_SHRINK = 8
_SAMPLES = {"uchar", "ushort"}
_CIE = {"scrgb", "lab", "labs", "labq", "xyz"}


def info(picture: Picture) -> ImageInfo:
    """Size after orientation, and frames, of anything but an SVG. Raises SourceUnreadable."""
    plain = picture.plain_jpeg or picture.plain_webp
    if plain is not None:
        sides = upright_sides(plain.width, plain.height, plain.orientation)
        return ImageInfo(picture.source_format, *sides, orientation=plain.orientation)
    if picture.rare is not None:
        width, height = picture.rare.size.width_px, picture.rare.size.height_px
        sides = upright_sides(width, height, picture.rare.orientation)
        turned, has_alpha = picture.rare.orientation, picture.rare.has_alpha
        return ImageInfo(picture.source_format, *sides, _frames(picture, None), turned, has_alpha)
    image = picture.header
    _check_samples(image)
    turned = orientation(image)
    sides = upright_sides(image.width, image.height, turned)
    known = turned if 1 <= turned <= _LAST_ORIENTATION else 1
    has_alpha = bool(image.hasalpha()) or picture.source_format == "ico"
    return ImageInfo(picture.source_format, *sides, _frames(picture, image), known, has_alpha)


def _frames(picture: Picture, image: pyvips.Image | None) -> int:
    if picture.source_format == "png":
        return picture.options.capped(apng.frames(picture.data) - picture.first_frame)
    if image is None or picture.format not in ANIMATED or not vips.has(image, "n-pages"):
        return 1
    return picture.options.capped(int(image.get("n-pages")))


def upright_sides(width: int, height: int, orientation: int) -> tuple[int, int]:
    return (height, width) if orientation >= cover.FIRST_TURNED else (width, height)


def scaled(picture: Picture, whole: Size) -> pyvips.Image:
    """The load of a resize by lanczos3 that enlarges neither side: shrunk while decoding.

    Upright, sRGB, exactly ``whole`` (uint8 or as the source), in memory. Raises SourceUnreadable.
    """
    try:
        if picture.format == "jpeg":
            image = _by_its_decoder(picture, whole)
        else:
            mask = next(picture.masks(), None)
            image = _by_us(picture, gif.masked(_without_spare_bands(_shrunk(picture, whole)), mask), whole)
        image = image.copy_memory()  # all rows are read, and a truncated file fails
    except pyvips.Error as error:
        raise unreadable(picture, error) from error
    check_end(picture)
    if not image.get("vips-loader").startswith(picture.loader):
        raise SourceUnreadable("the source begins like one kind of picture and goes on like another")
    return image


def whole(picture: Picture) -> pyvips.Image:
    """Upright, in sRGB or grey, as large as it is, in memory. Raises SourceUnreadable."""
    try:
        image = gif.masked(_without_spare_bands(picture.pixels()), next(picture.masks(), None))
        image = convert.to_canvas(without_profile(picture, image), is_deep=picture.is_deep).copy_memory()
    except pyvips.Error as error:
        raise unreadable(picture, error) from error
    check_end(picture)
    return image.autorot() if orientation(picture.header) > 1 else image


def _by_its_decoder(picture: Picture, whole: Size) -> pyvips.Image:
    """libjpeg scales while it decodes, libvips does the rest."""
    shrink = min(scale.shrink(_spare(picture, whole)), _MOST_JPEG_SHRINK)
    image = picture.pixels(shrink=shrink) if shrink > 1 else picture.pixels()
    return image.thumbnail_image(whole.width_px, **_thumbnail_options(picture, whole))


def _by_us(picture: Picture, image: pyvips.Image, whole: Size) -> pyvips.Image:
    if image.interpretation not in RGB_OR_GREY:
        return image.thumbnail_image(whole.width_px, **_thumbnail_options(picture, whole))
    if image.hasalpha():
        image = convert.to_canvas(without_profile(picture, image), is_deep=picture.is_deep)
        return _upright(picture, image, whole)
    return without_profile(picture, _upright(picture, image, whole))


def _upright(picture: Picture, image: pyvips.Image, whole: Size) -> pyvips.Image:
    turn = orientation(picture.header)
    stored = Size(whole.height_px, whole.width_px) if turn >= cover.FIRST_TURNED else whole
    image = scale.resized(image, stored)
    return image.copy_memory().autorot() if turn > 1 else image


def _thumbnail_options(picture: Picture, whole: Size) -> dict[str, str | int]:
    # Building a colour transform costs half as much as the whole render of a photograph, so only for a profile.
    transform = {"output_profile": target_profile(picture)} if has_profile(picture) else {}
    turn = {} if picture.options.orient else {"no_rotate": True}
    return {"height": whole.height_px, "size": "force", **transform, **turn}


def _shrunk(picture: Picture, size: Size) -> pyvips.Image:
    """As stored; a WebP decoded at a whole fraction of its size, which is the mean of each block of pixels.

    The resampler does the rest, as in ``scale``: a mean alone lets fine patterns through as moire.
    """
    shrink = scale.shrink(_spare(picture, size))
    # libwebp would round colours by their alpha.
    if picture.format == "webp" and shrink > 1 and not picture.header.hasalpha():
        return picture.pixels(scale=1 / shrink)
    return picture.pixels()


def _spare(picture: Picture, size: Size) -> float:
    """How many times smaller it becomes, on the side where it is fewer."""
    width, height = upright_sides(picture.header.width, picture.header.height, orientation(picture.header))
    return min(width / size.width_px, height / size.height_px)


def has_profile(picture: Picture) -> bool:
    """Whether its colours must be converted: it has a profile, and neither that of sRGB nor that of the result."""
    if not picture.is_beyond_srgb or picture.kept_profile:
        return False
    return picture.wanted_profile != "p3" or not profile.is_display_p3(picture.header.get(PROFILE))


def is_in_p3(picture: Picture) -> bool:
    """Whether it comes in Display P3. A picture whose colours are those of sRGB is converted when it is finished."""
    return picture.wanted_profile == "p3" and picture.format != "svg" and picture.is_beyond_srgb


def without_profile(picture: Picture, image: pyvips.Image) -> pyvips.Image:
    """The image, of this picture, in sRGB or Display P3 if its profile says otherwise."""
    if not has_profile(picture):
        return image
    return convert.from_profile(image, target_profile(picture), is_deep=picture.is_deep)


def target_profile(picture: Picture) -> convert.Target:
    """The profile that colours are converted to, if they are."""
    return "p3" if picture.wanted_profile == "p3" else "srgb"


def described_by(picture: Picture, image: pyvips.Image) -> pyvips.Image:
    """A copy of a frame that another decoder has read, with the picture's profile and orientation."""
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation(picture.header))
    if has_profile(picture):
        image.set_type(pyvips.GValue.blob_type, PROFILE, picture.header.get(PROFILE))
    return image


def frames(picture: Picture) -> pyvips.Image:
    """All frames that are taken of a GIF or WebP, one below the other, as stored: neither upright nor sRGB. Raises
    SourceUnreadable.

    They can only be read in order.
    """
    check_end(picture)
    count = _frames(picture, picture.header)
    image = picture.pixels(n=count).copy()
    image.set("delay", image.get("delay")[:count])
    return image


def _check_samples(image: pyvips.Image) -> None:
    """Raises SourceUnreadable for measurements: only their maker knows which values are black and white."""
    if image.format not in _SAMPLES and image.interpretation not in _CIE:
        raise SourceUnreadable(
            f"the source's samples are of the kind {image.format}, which says neither what is black nor what is white",
            "send 8 or 16 bits without sign",
        )


def _without_spare_bands(image: pyvips.Image) -> pyvips.Image:
    """With no bands but the colours and one alpha."""
    most = 5 if image.interpretation == "cmyk" else 4
    return image.extract_band(0, n=most) if image.bands > most else image
