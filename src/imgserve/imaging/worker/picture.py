"""A source in a worker: its format, its header, and its pixels as stored. Called by load, pipeline and the steps.

In: the source's bytes, mapped read-only. Out: lazy libvips images. ``load`` brings them upright and into sRGB.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import islice

import pyvips

from imgserve.errors import FieldRef, Sentence
from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import cover, ending, rare, vips
from imgserve.imaging.worker.colour import numbers, profile
from imgserve.imaging.worker.formats import (
    avifheader,
    dav1d,
    density,
    gif,
    jpegheader,
    libwebp,
    png,
    tiffcolour,
    webpheader,
)
from imgserve.imaging.worker.formats.turns import UPRIGHT
from imgserve.imaging.worker.pixelcache import UNCACHED, PixelCache
from imgserve.imaging.worker.source import Data
from imgserve.imaging.worker.taken import missing, taken
from imgserve.request.encode import Profile, RenderProfile
from imgserve.request.imageinfo import Size, SourceFormat
from imgserve.request.recipe import DEFAULT_LOAD, LoadOptions

PROFILE = "icc-profile-data"
RGB_OR_GREY = {"srgb", "rgb", "rgb16", "b-w", "grey16"}
_MOST_PROFILE_BYTES = 1_000_000  # a printer's has more, a camera's or a screen's some thousands
_CUT_OFF_HINT, _DAMAGED_HINT = "check that the file is complete", "save it anew with an image editor"
_OR_LENIENT = (", or use ", FieldRef(("load", "strict"), False), " to take what can be read")
_LENIENT_FORMATS = {"jpeg", "png", "gif", "tiff"}  # the decoders of the others give all or nothing


class Picture:
    """A source in a worker. If it is not strict, the readable part of a damaged file is shown.

    ``format``: what its decoder reads, which in an icon may be a PNG. ``is_deep``: samples of more than 8 bits come in
    16, for steps that compute with them. ``cache`` holds what earlier renderings of the same source decoded.
    """

    def __init__(
        self,
        data: Data,
        source_format: SourceFormat,
        options: LoadOptions = DEFAULT_LOAD,
        *,
        is_deep: bool = False,
        profile: Profile = "srgb",
        render_profile: RenderProfile = "balanced",
        cache: PixelCache = UNCACHED,
    ) -> None:
        """Raises SourceUnreadable, PageMissing."""
        self.source_format = source_format
        self.options = options
        self.data, self.format, self.first_frame, self.tiff_model, self.rare = taken(data, source_format, options)
        self.loader = f"{vips.NAME.get(self.format, self.format)}load"
        self.is_strict = options.strict
        self.is_deep = is_deep
        self.wanted_profile = profile
        self.render_profile = render_profile
        self.cache = cache
        self.fail_on = "error" if options.strict else "none"

    @cached_property
    def plain_jpeg(self) -> jpegheader.Header | None:
        """The header of a plain JPEG; None for all files that need libvips."""
        header = jpegheader.read(self.data) if self.format == "jpeg" else None
        return header if header is None or self.options.orient else header._replace(orientation=UPRIGHT)

    @cached_property
    def plain_webp(self) -> webpheader.Header | None:
        """The header of a lossy WebP without alpha, as of a plain JPEG."""
        header = webpheader.read(self.data) if self.format == "webp" and not self.first_frame else None
        return header if header is None or self.options.orient else header._replace(orientation=UPRIGHT)

    @cached_property
    def plain_avif(self) -> avifheader.Header | None:
        """The header of an AVIF that dav1d may decode, to 8 bits; None for all files that need libvips."""
        plain = avifheader.read(self.data) if self.format == "avif" and dav1d.is_there() else None
        if plain is None or not plain.is_deep:
            return plain
        return None if self.is_deep or self.is_beyond_srgb else plain

    @cached_property
    def is_beyond_srgb(self) -> bool:
        """Whether it has a profile, and not that of sRGB."""
        header = self.header
        return vips.has(header, PROFILE) and not profile.is_srgb(header.get(PROFILE))

    @cached_property
    def _inflated_png(self) -> pyvips.Image | bytes | None:
        """The pixels of a PNG, or the same picture as a file that libvips need not inflate.

        Kept here while libvips reads it: an image of pyvips does not keep the bytes of its source.
        """
        inflated = png.inflated(self.data) if self.format == "png" else None
        if inflated is None:
            return None
        image = png.image(inflated)
        return png.stored(inflated) if image is None else image

    @cached_property
    def header(self) -> pyvips.Image:
        """The picture with nothing but its header read. Raises SourceUnreadable."""
        image = self.opened()
        if self.tiff_model is not None:
            image = tiffcolour.read(image, self.tiff_model)
        if self.format == "avif":
            image = self._of_avif(image)
        return _with_numbers_as_profile(image, self)

    def _of_avif(self, image: pyvips.Image) -> pyvips.Image:
        """What libvips reads, with white at the top of 16 bits, and with colours that are not multiplied by alpha."""
        if image.format == "ushort" and vips.has(image, "bits-per-sample"):  # 10 or 12, which stand in the upper ones
            image = (image | (image >> image.get("bits-per-sample"))).copy(interpretation=image.interpretation)
        if image.hasalpha() and avifheader.is_multiplied(self.data):
            image = image.unpremultiply().rint().cast(image.format)
        return image

    @cached_property
    def per_mm(self) -> density.PerMm | None:
        """The pixels in a millimetre of the upright picture; None if it does not say."""
        if self.format not in density.FORMATS or self.rare is not None:
            return None
        stated = density.of_jpeg(self.data) if self.format == "jpeg" else density.of_image(self.header)
        turn = self.plain_jpeg.orientation if self.plain_jpeg is not None else orientation(self.header)
        return stated and (density.PerMm(stated.down, stated.across) if turn >= cover.FIRST_TURNED else stated)

    @cached_property
    def kept_profile(self) -> bytes:
        """The source's own profile, if the result is to keep it and can; else empty."""
        header = self.header
        is_kept = self.wanted_profile == "source" and header.interpretation in RGB_OR_GREY
        if not is_kept or not vips.has(header, PROFILE):
            return b""
        embedded = bytes(header.get(PROFILE))
        is_of_bands = profile.bands_of(embedded) == (1 if header.bands <= 2 else 3)
        return embedded if is_of_bands and len(embedded) <= _MOST_PROFILE_BYTES else b""

    def pixels(self, **options: float) -> pyvips.Image:
        """As ``opened``, or as ``header`` without options, to be read once; decoded already if that is cached.

        Raises SourceUnreadable, pyvips.Error.
        """
        if self.rare is not None:
            return self.header
        key = (self.options, *options.items())
        return self.cache.image(key, lambda: self._by_libwebp(self.opened(**options)) if options else self._whole())

    def _whole(self) -> pyvips.Image:
        """All pixels, by a faster decoder than libvips' if the picture has one."""
        if isinstance(self._inflated_png, bytes):
            return _with_numbers_as_profile(self._turned(self._loaded(self._inflated_png)), self)
        image = self._inflated_png
        if self.plain_avif is not None and (stored := dav1d.rgb(self.data, self.plain_avif)) is not None:
            image = cover.upright(stored, self.plain_avif.orientation)
        return self._by_libwebp(self.header) if image is None else _described(image.copy(), self.header)

    def _by_libwebp(self, image: pyvips.Image) -> pyvips.Image:
        """The same image, decoded by the faster libwebp if it is a still WebP."""
        if self.format != "webp" or self.first_frame:
            return image
        stored, size = Size(self.header.width, self.header.height), Size(image.width, image.height)
        pixels = libwebp.decode_pixels(self.data, stored, image.bands, size)
        if pixels is None:
            return image
        decoded = pyvips.Image.new_from_memory(pixels, image.width, image.height, image.bands, "uchar")
        return _described(decoded.copy(interpretation=image.interpretation), image)

    def opened(self, **options: float) -> pyvips.Image:
        """A lazy image, as stored. Raises SourceUnreadable."""
        if self.rare is not None:
            rare_picture = self.rare
            return self.cache.image(self.options, lambda: rare.opened(rare_picture, self.loader))
        if self.first_frame:
            self._check_page()
            options["page"] = self.first_frame
        image = self._loaded(self.data, **options)
        if self.first_frame:  # the metadata count the frames before
            image = image.copy()
            image.set("n-pages", image.get("n-pages") - self.first_frame)
            image.set("delay", image.get("delay")[self.first_frame :])
        return self._turned(image)

    def _turned(self, image: pyvips.Image) -> pyvips.Image:
        """Without its orientation, if that is not to count."""
        if not self.options.orient and orientation(image) != UPRIGHT:
            image = image.copy()
            image.set("orientation", UPRIGHT)
        return image

    def _loaded(self, data: Data, **options: float) -> pyvips.Image:
        try:
            load = getattr(pyvips.Image, f"{self.loader}_source")
            source = pyvips.Source.new_from_memory(data)
            return load(source, fail_on=self.fail_on, access="sequential", **options)
        except pyvips.Error as error:
            raise unreadable(self, error) from error

    def _check_page(self) -> None:
        """Raises PageMissing."""
        image = self._loaded(self.data)
        frames = int(image.get("n-pages")) if vips.has(image, "n-pages") else 1
        if self.first_frame >= frames:
            page = self.options.page
            raise missing(page, frames - (self.first_frame - page), "frame")

    def masks(self) -> Iterator[pyvips.Image | None]:
        """The masks of a GIF's frames, as ``gif.masks``; none for other formats."""
        if self.format == "gif":
            canvas = Size(self.header.width, self.header.get_page_height())
            yield from islice(gif.masks(gif.frames(self.data), canvas), self.first_frame, None)


def _described(image: pyvips.Image, header: pyvips.Image) -> pyvips.Image:
    """With what ``load`` reads beside the pixels."""
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation(header))
    for name in ("vips-loader", PROFILE):
        if vips.has(header, name):
            image.set_type(header.get_typeof(name), name, header.get(name))
    return image


def _with_numbers_as_profile(image: pyvips.Image, picture: Picture) -> pyvips.Image:
    is_plain = image.interpretation in RGB_OR_GREY
    embedded = numbers.profile(picture.data, picture.format, image.bands) if is_plain else None
    if embedded is None:
        return image
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, PROFILE, embedded)
    return image


def unreadable(picture: Picture, error: pyvips.Error) -> SourceUnreadable:
    what = f"the source looks like {picture.format.upper()} but cannot be decoded: {vips.reason(error)}"
    return SourceUnreadable(what, _hint(picture))


def too_many_parts(picture: Picture) -> SourceUnreadable:
    what = f"the source is a {picture.format.upper()} of more parts than a picture has"
    return SourceUnreadable(what, "save it anew with an image editor")


def check_end(picture: Picture) -> None:
    """Raises SourceUnreadable for a strict picture without its end mark, which decoding does not always reach."""
    if picture.is_strict and not ending.has_end_mark(picture.data, picture.format):
        raise SourceUnreadable(f"the source is a {picture.format.upper()} that is cut off", _hint(picture))


def _hint(picture: Picture) -> Sentence:
    """The remedy, which differs for a complete file: it lacks no end."""
    hint = _DAMAGED_HINT if ending.is_whole(picture.data, picture.format) else _CUT_OFF_HINT
    return (hint, *_OR_LENIENT) if picture.is_strict and picture.format in _LENIENT_FORMATS else hint


def orientation(image: pyvips.Image) -> int:
    """EXIF's number, 1 to 8; 1 where there is none."""
    return int(image.get("orientation")) if vips.has(image, "orientation") else 1
