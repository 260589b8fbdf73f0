"""From bytes to a first image: the format by magic number, the header, and shrink-on-load.

Called by probe, pipeline and the steps. In: the source's bytes, mapped read-only. Out: lazy libvips images, upright
and in sRGB. Decoding is strict unless the recipe says otherwise: a truncated or corrupt file is refused, never shown in
part.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import islice

import pyvips

from imgserve.errors import FieldRef, Sentence
from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import cover, ending, rare, scale, vips
from imgserve.imaging.worker.colour import convert, numbers, profile
from imgserve.imaging.worker.formats import apng, gif, jpegheader, tiffcolour
from imgserve.imaging.worker.formats.jpegheader import Header
from imgserve.imaging.worker.source import Data
from imgserve.imaging.worker.taken import missing, taken
from imgserve.request.encode import Profile
from imgserve.request.formats import ANIMATED
from imgserve.request.imageinfo import ImageInfo, Size, SourceFormat
from imgserve.request.recipe import DEFAULT_LOAD, LoadOptions

_LAST_ORIENTATION = 8
PROFILE = "icc-profile-data"
_MOST_PROFILE_BYTES = 1_000_000  # a printer's has more, a camera's or a screen's some thousands
_RGB_OR_GREY = {"srgb", "rgb", "rgb16", "b-w", "grey16"}
_SAMPLES = {"uchar", "ushort"}
_CIE = {"scrgb", "lab", "labs", "labq", "xyz"}
_CUT_OFF_HINT, _DAMAGED_HINT = "check that the file is complete", "save it anew with an image editor"
_OR_LENIENT = (", or use ", FieldRef(("load", "strict"), False), " to take what can be read")
_LENIENT_FORMATS = {"jpeg", "png", "gif", "tiff"}  # the decoders of the others give all or nothing


class Picture:
    """A source in a worker. If it is not strict, the readable part of a damaged file is shown.

    ``format``: what its decoder reads, which in an icon may be a PNG. ``is_deep``: samples of more than 8 bits come in
    16, for steps that compute with them.
    """

    def __init__(
        self,
        data: Data,
        source_format: SourceFormat,
        options: LoadOptions = DEFAULT_LOAD,
        *,
        is_deep: bool = False,
        profile: Profile = "srgb",
    ) -> None:
        """Raises SourceUnreadable, PageMissing."""
        self.source_format = source_format
        self.options = options
        self.data, self.format, self.first_frame, self.tiff_model, self.rare = taken(data, source_format, options)
        self.loader = f"{vips.NAME.get(self.format, self.format)}load"
        self.is_strict = options.strict
        self.is_deep = is_deep
        self.wanted_profile = profile
        self.fail_on = "error" if options.strict else "none"

    @cached_property
    def plain_jpeg(self) -> Header | None:
        """The header of a plain JPEG; None for all files that need libvips."""
        header = jpegheader.read(self.data) if self.format == "jpeg" else None
        return header if header is None or self.options.orient else header._replace(orientation=jpegheader.UPRIGHT)

    @cached_property
    def header(self) -> pyvips.Image:
        """The picture with nothing but its header read. Raises SourceUnreadable."""
        image = self.opened()
        if self.tiff_model is not None:
            image = tiffcolour.read(image, self.tiff_model)
        return _with_numbers_as_profile(image, self)

    @cached_property
    def kept_profile(self) -> bytes:
        """The source's own profile, if the result is to keep it and can; else empty."""
        header = self.header
        is_kept = self.wanted_profile == "source" and header.interpretation in _RGB_OR_GREY
        if not is_kept or not vips.has(header, PROFILE):
            return b""
        embedded = bytes(header.get(PROFILE))
        is_of_bands = profile.bands_of(embedded) == (1 if header.bands <= 2 else 3)
        return embedded if is_of_bands and len(embedded) <= _MOST_PROFILE_BYTES else b""

    def opened(self, **options: float) -> pyvips.Image:
        """A lazy image, as stored. Raises SourceUnreadable."""
        if self.rare is not None:
            return rare.opened(self.rare, self.loader)
        if self.first_frame:
            self._check_page()
            options["page"] = self.first_frame
        image = self._loaded(**options)
        if self.first_frame:  # the metadata count the frames before
            image = image.copy()
            image.set("n-pages", image.get("n-pages") - self.first_frame)
            image.set("delay", image.get("delay")[self.first_frame :])
        if not self.options.orient and orientation(image) != jpegheader.UPRIGHT:
            image = image.copy()
            image.set("orientation", jpegheader.UPRIGHT)
        return image

    def _loaded(self, **options: float) -> pyvips.Image:
        try:
            load = getattr(pyvips.Image, f"{self.loader}_source")
            return load(self.source(), fail_on=self.fail_on, access="sequential", **options)
        except pyvips.Error as error:
            raise unreadable(self, error) from error

    def _check_page(self) -> None:
        """Raises PageMissing."""
        image = self._loaded()
        frames = int(image.get("n-pages")) if vips.has(image, "n-pages") else 1
        if self.first_frame >= frames:
            page = self.options.page
            raise missing(page, frames - (self.first_frame - page), "frame")

    def source(self) -> pyvips.Source:
        return pyvips.Source.new_from_memory(self.data)

    def masks(self) -> Iterator[pyvips.Image | None]:
        """The masks of a GIF's frames, as ``gif.masks``; none for other formats."""
        if self.format == "gif":
            canvas = Size(self.header.width, self.header.get_page_height())
            yield from islice(gif.masks(gif.frames(self.data), canvas), self.first_frame, None)


def info(picture: Picture) -> ImageInfo:
    """Size after orientation, and frames, of anything but an SVG. Raises SourceUnreadable."""
    if picture.plain_jpeg is not None:
        header = picture.plain_jpeg
        sides = upright_sides(header.width, header.height, header.orientation)
        return ImageInfo("jpeg", *sides, orientation=header.orientation)
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
        image = gif.masked(_without_spare_bands(picture.header), next(picture.masks(), None))
        image = convert.to_canvas(without_profile(picture, image), is_deep=picture.is_deep).copy_memory()
    except pyvips.Error as error:
        raise unreadable(picture, error) from error
    check_end(picture)
    return image.autorot() if orientation(picture.header) > 1 else image


def _by_its_decoder(picture: Picture, whole: Size) -> pyvips.Image:
    """libjpeg scales while it decodes, libvips does the rest."""
    # The operation's own fail_on does not reach the loader (8.18.7).
    options = {"option_string": f"[fail_on={picture.fail_on}]", **_thumbnail_options(picture, whole)}
    return pyvips.Image.thumbnail_source(picture.source(), whole.width_px, **options)


def _by_us(picture: Picture, image: pyvips.Image, whole: Size) -> pyvips.Image:
    if image.interpretation not in _RGB_OR_GREY:
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
    header = picture.header
    sides = upright_sides(header.width, header.height, orientation(header))
    spare = min(sides[0] / size.width_px, sides[1] / size.height_px)
    shrink = scale.shrink(spare)
    if picture.format != "webp" or shrink < 2 or header.hasalpha():  # libwebp would round colours by their alpha
        return header
    return picture.opened(scale=1 / shrink)


def _with_numbers_as_profile(image: pyvips.Image, picture: Picture) -> pyvips.Image:
    is_plain = image.interpretation in _RGB_OR_GREY
    embedded = numbers.profile(picture.data, picture.format, image.bands) if is_plain else None
    if embedded is None:
        return image
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, PROFILE, embedded)
    return image


def has_profile(picture: Picture) -> bool:
    """Whether its colours must be converted: it has a profile, and neither that of sRGB nor that of the result."""
    if not is_beyond_srgb(picture) or picture.kept_profile:
        return False
    return picture.wanted_profile != "p3" or not profile.is_display_p3(picture.header.get(PROFILE))


def is_in_p3(picture: Picture) -> bool:
    """Whether it comes in Display P3. A picture whose colours are those of sRGB is converted when it is finished."""
    return picture.wanted_profile == "p3" and picture.format != "svg" and is_beyond_srgb(picture)


def is_beyond_srgb(picture: Picture) -> bool:
    """Whether it has a profile, and not that of sRGB."""
    header = picture.header
    return vips.has(header, PROFILE) and not profile.is_srgb(header.get(PROFILE))


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


def unreadable(picture: Picture, error: pyvips.Error) -> SourceUnreadable:
    what = f"the source looks like {picture.format.upper()} but cannot be decoded: {vips.reason(error)}"
    return SourceUnreadable(what, _hint(picture))


def too_many_parts(picture: Picture) -> SourceUnreadable:
    what = f"the source is a {picture.format.upper()} of more parts than a picture has"
    return SourceUnreadable(what, "save it anew with an image editor")


def frames(picture: Picture) -> pyvips.Image:
    """All frames that are taken of a GIF or WebP, one below the other, as stored: neither upright nor sRGB. Raises
    SourceUnreadable.

    They can only be read in order.
    """
    check_end(picture)
    count = _frames(picture, picture.header)
    image = picture.opened(n=count).copy()
    image.set("delay", image.get("delay")[:count])
    return image


def check_end(picture: Picture) -> None:
    """Raises SourceUnreadable for a strict picture without its end mark, which decoding does not always reach."""
    if picture.is_strict and not ending.has_end_mark(picture.data, picture.format):
        raise SourceUnreadable(f"the source is a {picture.format.upper()} that is cut off", _hint(picture))


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


def _hint(picture: Picture) -> Sentence:
    """The remedy, which differs for a complete file: it lacks no end."""
    hint = _DAMAGED_HINT if ending.is_whole(picture.data, picture.format) else _CUT_OFF_HINT
    return (hint, *_OR_LENIENT) if picture.is_strict and picture.format in _LENIENT_FORMATS else hint


def orientation(image: pyvips.Image) -> int:
    """EXIF's number, 1 to 8; 1 where there is none."""
    return int(image.get("orientation")) if vips.has(image, "orientation") else 1
