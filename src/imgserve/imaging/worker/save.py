"""Encodes an image into the result's memfd, as the recipe's ``Encode`` says. Called by pipeline and draw.

``saver/settings`` has what each format's saver is told, ``saver/sizecap`` lowers the quality for ``max_bytes``,
``metadata`` has what is kept of the source beside its pixels. Without a profile they are sRGB, as viewers assume.
"""

from collections.abc import Callable
from functools import partial

import pyvips

from imgserve.imaging.faults import PictureTooLarge, RenderFailed
from imgserve.imaging.worker import vips
from imgserve.imaging.worker.colour import convert
from imgserve.imaging.worker.formats import density, libwebp, png, turbojpeg, webp
from imgserve.imaging.worker.metadata import embed
from imgserve.imaging.worker.metadata.kept import Blocks
from imgserve.imaging.worker.picture import PROFILE
from imgserve.imaging.worker.saver import palette, repeats, sizecap
from imgserve.imaging.worker.saver import settings as settings_of_format
from imgserve.imaging.worker.saver.extras import Extras
from imgserve.imaging.worker.saver.settings import Settings
from imgserve.request.encode import BIT_DEPTHS, DEFAULT_QUALITY, Encode, Format
from imgserve.request.imageinfo import Size

WriterOfDrawing = Callable[[turbojpeg.Decoded, float], bytes | None]

_BYTE = 8
_MAX_SIDE_PX: dict[Format, int] = {"webp": 16_383, "avif": 16_384, "gif": 65_535, "jpeg": 65_535}
# 16 bits of hundredths in a GIF, 24 bits in a WebP. libvips lets larger numbers begin anew, or fails.
_MOST_DELAY_MS: dict[Format, int] = {"gif": 655_350, "webp": 16_777_215}
_MOST_TIME_MS = 2**31 - 1  # libwebp's clock
# 8.15 has a new name for it; Debian 12 has 8.14, which allow_system_libvips permits.
_WITHOUT_METADATA = {"keep": "none"} if pyvips.at_least_libvips(8, 15) else {"strip": True}
_WITH_PROFILE = {"keep": "icc"} if pyvips.at_least_libvips(8, 15) else {}
_METADATA = ("exif-data", "iptc-data", "xmp-data", "photoshop-data", "icc-profile-data")
_PLAIN_BANDS = {1, 3}
_OPAQUE = 255
_MAX_QUICK_PIXELS = 8_000_000  # libvips encodes a larger result without a copy in memory
# The ratio of pixels equal to their neighbour: up to 0.5 in photographs (0.6 on white), from 0.8 on in drawings.
_LOADER = "vips-loader"
_DRAWN_FROM = 0.7
_ROWS_COMPARED = 32
_MOST_AT_ONCE = 1_000_000  # pixels, which take less time to copy than libvips takes to begin to leave rows out
_NOTHING = Extras()


def write(image: pyvips.Image, output_format: Format, encode: Encode, result_fd: int, extras: Extras = _NOTHING) -> int:
    """Encode an image of RGB or grey in memory, of 8 or 16 bits, or a roll of frames. Returns the number of encodes.

    Raises PictureTooLarge, RenderFailed, MaxBytesUnreachable.
    """
    check_side(Size(image.width, image.get_page_height()), output_format)
    try:
        image = _prepared(image, output_format, encode, extras.profile)
        encodes = _write(image, output_format, encode, result_fd, extras.blocks)
        if output_format == "webp" and image.hasalpha():
            webp.set_alpha_flag(result_fd)
    except pyvips.Error as error:
        sentence = f"the result cannot be written as {output_format.upper()}: {vips.reason(error)}"
        raise RenderFailed(sentence).at(("encode", "format")) from error
    return encodes


def _write(image: pyvips.Image, output_format: Format, encode: Encode, result_fd: int, blocks: Blocks) -> int:
    quality = settings_of_format.quality_of(encode, output_format)
    if encode.max_bytes is not None and quality is not None and not encode.lossless:
        encode_at = partial(_file, image, output_format, encode, blocks)
        fitted = sizecap.fitted(encode_at, quality, encode.max_bytes)
        write_bytes(fitted.file, result_fd)
        return fitted.encodes
    if any(blocks):
        write_bytes(_file(image, output_format, encode, blocks, quality), result_fd)
        return 1
    file = _of_our_own(image, output_format, encode, quality)
    if file is None:
        _to_target(image, output_format, encode, quality, pyvips.Target.new_to_descriptor(result_fd))
    else:
        write_bytes(file, result_fd)
    return 1


def _file(image: pyvips.Image, output_format: Format, encode: Encode, blocks: Blocks, quality: int | None) -> bytes:
    file = _of_our_own(image, output_format, encode, quality)
    return embed.embedded(file or _in_memory(image, output_format, encode, quality), output_format, blocks)


def _of_our_own(image: pyvips.Image, output_format: Format, encode: Encode, quality: int | None) -> bytes | None:
    """The file of an encoder beside libvips; None if libvips writes it all."""
    if output_format == "jpeg":
        quick, per_mm = _quick_jpeg(image, encode, quality), density.of_image(image)
        if quick is None:
            return density.in_jpeg(_in_memory(image, "jpeg", encode, quality), per_mm) if per_mm is not None else None
        quick = density.in_jpeg(quick, per_mm)
        return embed.jpeg_with_profile(quick, bytes(image.get(PROFILE))) if vips.has(image, PROFILE) else quick
    if output_format == "webp":
        return _quick_webp(image, encode, quality)
    if output_format == "png" and encode.colors is not None and palette.needs_merge(encode.colors):
        file = _in_memory(image, output_format, encode, quality)
        return palette.merged(file, encode.colors, settings_of_format.png_compression(encode))
    return _quick_png(image, encode) if output_format == "png" else None


def _quick_png(image: pyvips.Image, encode: Encode) -> bytes | None:
    """Compressed by libdeflate; None if libvips has to do it."""
    levels = settings_of_format.deflate_levels(encode)
    if levels is None or not png.is_there() or image.width * image.height > _MAX_QUICK_PIXELS:
        return None
    image, width, height = density.or_usual(image), image.width, image.height
    pixels = vips.pixels(image, width, height) if width * height <= _MOST_AT_ONCE else None
    is_drawing = _is_drawing(image, pixels)
    if is_drawing and _is_plain_png(image):
        decoded = turbojpeg.Decoded(width, height, image.bands, pixels or vips.pixels(image, width, height))
        return png.unfiltered(decoded, (image.xres, image.yres), levels[is_drawing])
    settings = {**settings_of_format.of(encode, "png", is_drawing=is_drawing), "compression": 0}
    target = pyvips.Target.new_to_memory()
    save(image, "png", settings, None, target)
    return png.compressed(bytes(target.get("blob")), levels[is_drawing])


def _is_plain_png(image: pyvips.Image) -> bool:
    is_of_samples = image.format == "uchar" and png.SPACES.get(image.bands) == image.interpretation
    return is_of_samples and not vips.has(image, PROFILE) and png.has_resolution(image.xres, image.yres)


def _in_memory(image: pyvips.Image, output_format: Format, encode: Encode, quality: int | None) -> bytes:
    target = pyvips.Target.new_to_memory()
    _to_target(image, output_format, encode, quality, target)
    return bytes(target.get("blob"))


def _to_target(
    image: pyvips.Image, output_format: Format, encode: Encode, quality: int | None, target: pyvips.Target
) -> None:
    is_drawing = output_format == "png" and _is_drawing(image)
    save(image, output_format, settings_of_format.of(encode, output_format, is_drawing=is_drawing), quality, target)


def save(
    image: pyvips.Image, output_format: Format, settings: Settings, quality: int | None, target: pyvips.Target
) -> None:
    """Encode with these settings, and no metadata but a profile that the image has. Raises pyvips.Error."""
    if quality is not None:
        settings = {**settings, "Q": quality}
    if output_format in density.FORMATS:
        image = density.or_usual(image)
    saver = getattr(image, f"{vips.NAME.get(output_format, output_format)}save_target")
    saver(target, **(_WITH_PROFILE if vips.has(image, PROFILE) else _WITHOUT_METADATA), **settings)


def write_bytes(data: bytes, result_fd: int) -> None:
    """Write a file that is encoded already."""
    with open(result_fd, "wb", closefd=False) as result:
        result.write(data)


def check_side(size: Size, output_format: Format) -> None:
    """Raises PictureTooLarge if the format itself cannot hold the picture."""
    largest = _MAX_SIDE_PX.get(output_format)
    if largest is not None and max(size.width_px, size.height_px) > largest:
        raise PictureTooLarge(
            f"a {output_format.upper()} picture can have sides of at most {largest} pixels",
            "ask for a smaller result or another format",
        )


def is_plain(encode: Encode) -> bool:
    """Whether one encode is the whole file, with nothing of the source but its pixels."""
    return encode.metadata == "none" and is_one_encode(encode)


def is_one_encode(encode: Encode) -> bool:
    """Whether the pixels are written once, in sRGB."""
    return encode.profile == "srgb" and encode.max_bytes is None


def plane_settings(encode: Encode, output_format: Format) -> turbojpeg.Settings | libwebp.Settings | None:
    """Those of the encoder that takes planes; None if libvips has to encode it."""
    if output_format == "jpeg":
        return _jpeg_settings(encode)
    return _webp_settings(encode) if output_format == "webp" else None


def writer_of_drawing(output_format: Format, encode: Encode) -> WriterOfDrawing | None:
    """Makes the file that ``write`` would make of a drawing. In: its pixels in RGBA, and their number in a millimetre.

    None if libvips has to take part. The writer's own None is for a drawing that the format cannot hold.
    """
    if not is_plain(encode) or encode.bit_depth != _BYTE:
        return None
    if output_format == "png" and png.is_there():
        levels = settings_of_format.deflate_levels(encode)
        return None if levels is None else lambda pixels, per_mm: png.unfiltered(pixels, (per_mm, per_mm), levels[True])
    settings = _webp_settings(encode) if output_format == "webp" and libwebp.is_there() else None
    return None if settings is None else lambda pixels, _per_mm: libwebp.encode_pixels(pixels, settings)


def _jpeg_settings(encode: Encode) -> turbojpeg.Settings | None:
    if encode.effort == "best":
        return None
    return turbojpeg.Settings(encode.quality or DEFAULT_QUALITY["jpeg"], encode.chroma, encode.progressive)


def _webp_settings(encode: Encode) -> libwebp.Settings | None:
    if encode.lossless or encode.near_lossless is not None:
        return None
    method = settings_of_format.EFFORTS["webp"][encode.effort or settings_of_format.DEFAULT_EFFORT]["effort"]
    return libwebp.Settings(encode.quality or DEFAULT_QUALITY["webp"], int(method))


def _quick_jpeg(image: pyvips.Image, encode: Encode, quality: int | None) -> bytes | None:
    """By libjpeg-turbo, which needs a third of the time for a thumbnail; None if libvips has to do it."""
    settings = _jpeg_settings(encode)
    is_plain = image.format == "uchar" and image.bands in _PLAIN_BANDS
    is_small = image.width * image.height <= _MAX_QUICK_PIXELS
    if settings is None or quality is None or not (turbojpeg.is_there() and is_plain and is_small):
        return None
    pixels = bytes(image.write_to_memory())
    decoded = turbojpeg.Decoded(image.width, image.height, image.bands, pixels)
    return turbojpeg.encode(decoded, settings._replace(quality=quality))


def _quick_webp(image: pyvips.Image, encode: Encode, quality: int | None) -> bytes | None:
    """By a libwebp with vector instructions, a quarter faster; None if libvips has to do it."""
    settings = _webp_settings(encode)
    is_plain = image.format == "uchar" and image.bands == (4 if image.hasalpha() else 3)
    is_small = image.width * image.height <= _MAX_QUICK_PIXELS and image.height == image.get_page_height()
    is_ours = is_plain and is_small and not vips.has(image, PROFILE)
    if settings is None or quality is None or not (libwebp.is_there() and is_ours):
        return None
    pixels = turbojpeg.Decoded(image.width, image.height, image.bands, bytes(image.write_to_memory()))
    return libwebp.encode_pixels(pixels, settings._replace(quality=quality))


def in_its_depth(image: pyvips.Image, output_format: Format, encode: Encode) -> pyvips.Image:
    """A canvas in the samples that the format has of those asked for.

    AVIF takes its 10 bits from 16: from 8 bits libvips would make a white that is not quite white.
    """
    if encode.bit_depth not in BIT_DEPTHS.get(output_format, ()) or encode.bit_depth == 8:
        return convert.to_8_bits(image)
    return convert.to_16_bits(image)


def _prepared(image: pyvips.Image, output_format: Format, encode: Encode, profile: bytes) -> pyvips.Image:
    """In the depth of the format, flattened where it has no alpha, with its profile and the timing of its frames."""
    image = in_its_depth(image, output_format, encode)
    if image.hasalpha() and output_format == "jpeg":
        image = _flattened(image, convert.parse_hex(encode.background))
    if profile or vips.has(image, PROFILE):
        image = _with_profile(image, profile)
    frames = image.height // image.get_page_height()
    return _timed(image, output_format, encode, frames) if frames > 1 else image


def _with_profile(image: pyvips.Image, profile: bytes) -> pyvips.Image:
    """With this profile, or with none, in place of the metadata that have come along from the source."""
    image = image.copy()
    for name in _METADATA:
        image.remove(name)
    if profile:
        image.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    return image


def _timed(image: pyvips.Image, output_format: Format, encode: Encode, frames: int) -> pyvips.Image:
    """With the loop count and the delays of the recipe, else of the source, which may be longer than the format has."""
    image = image.copy()
    if encode.loop is not None:
        image.set_type(pyvips.GValue.gint_type, "loop", encode.loop)
    delays = image.get("delay") if encode.delay_ms is None else [encode.delay_ms] * frames
    most = min(_MOST_DELAY_MS.get(output_format, _MOST_TIME_MS), _MOST_TIME_MS // frames)
    image.set_type(pyvips.GValue.array_int_type, "delay", [min(delay, most) for delay in delays])
    return image


def _is_drawing(image: pyvips.Image, pixels: bytes | None = None) -> bool:
    """Whether it was an SVG, or most pixels are equal to their left neighbour, as in flat colours and lines.

    ``pixels``: all of them, if they are at hand.
    """
    width, height, pixel_bytes = image.width, image.height, vips.pixel_bytes(image)
    if width == 1 or (vips.has(image, _LOADER) and str(image.get(_LOADER)).startswith("svg")):
        return True
    every, row_bytes = max(height // _ROWS_COMPARED, 1), width * pixel_bytes
    if pixels is None:
        rows = vips.pixels(image.subsample(1, every), width, height // every)
    else:
        rows = b"".join(pixels[at : at + row_bytes] for at in range(0, len(pixels), row_bytes * every))
    return repeats.share(rows, width, pixel_bytes) >= _DRAWN_FROM


def _flattened(image: pyvips.Image, background: list[int]) -> pyvips.Image:
    """Without alpha, on the background. ``image`` is in memory, for it is read twice."""
    if image.bands == 2:  # grey with alpha: the background may have a colour
        image = image.colourspace("srgb")
    colours, alpha = image.extract_band(0, n=image.bands - 1), image.extract_band(image.bands - 1)
    if alpha.min() == _OPAQUE:
        return colours
    alpha = alpha / _OPAQUE
    flat = (colours * alpha + (1 - alpha) * background).rint().cast("uchar")
    return flat.copy(interpretation=image.interpretation)
