"""Encodes an image straight into the result's memfd. Called by pipeline and draw.

All metadata is dropped; the pixels are sRGB, which every viewer assumes without a profile. docs/decisions.md has the
reasons for the efforts: the next level costs many times the time for one or two per cent of the bytes.
"""

from collections.abc import Mapping

import pyvips

from imgserve.imaging.faults import PictureTooLarge, RenderFailed
from imgserve.imaging.worker import vips
from imgserve.imaging.worker.colour.convert import parse_hex
from imgserve.imaging.worker.formats import turbojpeg, webp
from imgserve.request.imageinfo import Size
from imgserve.request.recipe import DEFAULT_QUALITY, Format, OutputOptions

Settings = Mapping[str, str | int]
_MAX_SIDE_PX: dict[Format, int] = {"webp": 16_383, "avif": 16_384, "gif": 65_535, "jpeg": 65_535}
SETTINGS: Mapping[Format, Settings] = {
    "jpeg": {},
    "png": {"compression": 6},
    "webp": {"effort": 2},
    "gif": {"effort": 3},
    "tiff": {"compression": "lzw", "predictor": "horizontal"},
    "avif": {"compression": "av1", "effort": 0, "bitdepth": 8},
}
# 8.15 has a new name for it; Debian 12 has 8.14, which allow_system_libvips permits.
_WITHOUT_METADATA = {"keep": "none"} if pyvips.at_least_libvips(8, 15) else {"strip": True}
_PLAIN_BANDS = {1, 3}
_TRUE = 255  # libvips' value
_OPAQUE = 255
_MAX_QUICK_PIXELS = 8_000_000  # libvips encodes a larger result without a copy in memory
# A quarter fewer bytes for photographs, in less time; drawings grow by a tenth to a third and keep the plain setting.
_PHOTO_PNG: Settings = {"filter": "avg", "compression": 3}
# The ratio of pixels equal to their neighbour: up to 0.5 in photographs (0.6 on white), from 0.8 on in drawings.
_DRAWN_FROM = 0.7
_ROWS_COMPARED = 64


def write(image: pyvips.Image, output_format: Format, options: OutputOptions, result_fd: int) -> None:
    """Encode an 8-bit sRGB or grey image in memory, or a roll of frames. Raises PictureTooLarge, RenderFailed."""
    check_side(Size(image.width, image.get_page_height()), output_format)
    settings = SETTINGS[output_format]
    if output_format == "png" and not _is_drawing(image):
        settings = {**settings, **_PHOTO_PNG}
    try:
        if image.hasalpha() and output_format == "jpeg":
            image = _flattened(image, parse_hex(options.background))
        file = _quick_jpeg(image, jpeg_quality(options)) if output_format == "jpeg" else None
        if file is None:
            encode(image, output_format, settings, options.quality, result_fd)
        else:
            write_bytes(file, result_fd)
    except pyvips.Error as error:
        raise RenderFailed(f"the result cannot be written as {output_format.upper()}: {vips.reason(error)}") from error


def _is_drawing(image: pyvips.Image) -> bool:
    """Whether most pixels are equal to their left neighbour, as in flat colours and lines."""
    if image.width == 1:
        return True
    rows = image.subsample(1, max(1, image.height // _ROWS_COMPARED))
    left, right = rows.crop(0, 0, rows.width - 1, rows.height), rows.crop(1, 0, rows.width - 1, rows.height)
    return bool((left == right).bandand().avg() >= _DRAWN_FROM * _TRUE)


def write_bytes(data: bytes, result_fd: int) -> None:
    """Write a file that is encoded already."""
    with open(result_fd, "wb", closefd=False) as result:
        result.write(data)


def jpeg_quality(options: OutputOptions) -> int:
    return options.quality or DEFAULT_QUALITY["jpeg"]


def _quick_jpeg(image: pyvips.Image, quality: int) -> bytes | None:
    """By libjpeg-turbo, which needs a third of the time for a thumbnail; None if libvips has to do it."""
    is_plain = image.format == "uchar" and image.bands in _PLAIN_BANDS
    if not turbojpeg.is_there() or not is_plain or image.width * image.height > _MAX_QUICK_PIXELS:
        return None
    pixels = bytes(image.write_to_memory())
    return turbojpeg.encode(turbojpeg.Decoded(image.width, image.height, image.bands, pixels), quality)


def check_side(size: Size, output_format: Format) -> None:
    """Raises PictureTooLarge if the format itself cannot hold the picture."""
    largest = _MAX_SIDE_PX.get(output_format)
    if largest is not None and max(size.width_px, size.height_px) > largest:
        raise PictureTooLarge(
            f"a {output_format.upper()} picture can have sides of at most {largest} pixels",
            "ask for a smaller result or another format",
        )


def encode(image: pyvips.Image, output_format: Format, settings: Settings, quality: int | None, result_fd: int) -> None:
    """Encode with these settings and no metadata; ``quality`` None: the format's default. Raises pyvips.Error."""
    target = pyvips.Target.new_to_descriptor(result_fd)
    if output_format in DEFAULT_QUALITY:
        settings = {**settings, "Q": quality or DEFAULT_QUALITY[output_format]}
    save = getattr(image, f"{vips.NAME.get(output_format, output_format)}save_target")
    save(target, **_WITHOUT_METADATA, **settings)
    if output_format == "webp" and image.hasalpha():
        webp.set_alpha_flag(result_fd)


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
