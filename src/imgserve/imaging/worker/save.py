"""From an image to the bytes of a file, written straight into the result's memfd. Called by pipeline and draw.

All metadata is dropped; the pixels are sRGB, which every viewer assumes without a profile. Efforts are
those of docs/decisions.md: the next level costs many times the time for one or two per cent of the bytes.
"""

from collections.abc import Mapping

import pyvips

from imgserve.imaging.faults import PictureTooLarge, RenderFailed
from imgserve.imaging.worker import transparent, vips
from imgserve.imaging.worker.colour.convert import parse_hex
from imgserve.imaging.worker.formats import turbojpeg, webp
from imgserve.request.imageinfo import Size
from imgserve.request.recipe import DEFAULT_QUALITY, Format, OutputOptions

_MAX_SIDE_PX: dict[Format, int] = {"webp": 16_383, "avif": 16_384, "gif": 65_535, "jpeg": 65_535}
_WITHOUT_ALPHA: frozenset[Format] = frozenset({"jpeg"})
_SETTINGS: Mapping[Format, Mapping[str, str | int]] = {
    "jpeg": {},
    "png": {"compression": 6},
    "webp": {"effort": 2},
    "gif": {"effort": 3},
    "tiff": {"compression": "lzw", "predictor": "horizontal"},
    "avif": {"compression": "av1", "effort": 0, "bitdepth": 8},
}
_SAVER: dict[Format, str] = {
    "jpeg": "jpegsave_target",
    "png": "pngsave_target",
    "webp": "webpsave_target",
    "gif": "gifsave_target",
    "tiff": "tiffsave_target",
    "avif": "heifsave_target",
}
# 8.15 has a new name for it; Debian 12 has 8.14, which allow_system_libvips lets in
_WITHOUT_METADATA = {"keep": "none"} if pyvips.at_least_libvips(8, 15) else {"strip": True}
_PLAIN_BANDS = {1, 3}
_TRUE = 255  # as libvips writes it
_MAX_QUICK_PIXELS = 8_000_000  # of a larger result libvips needs no copy
# A quarter fewer bytes for photographs, in less time; drawings grow by a tenth to a third: they keep the plain setting.
_PHOTO_PNG: Mapping[str, str | int] = {"filter": "avg", "compression": 3}
# The share of pixels that are like their neighbour: up to 0.5 in photographs (0.6 on white), from 0.8 on in drawings.
_DRAWN_FROM = 0.7
_ROWS_LOOKED_AT = 64


def write(image: pyvips.Image, output_format: Format, options: OutputOptions, result_fd: int) -> None:
    """Encode an 8-bit sRGB or grey image in memory, or a roll of frames. Raises PictureTooLarge, RenderFailed."""
    check_side(Size(image.width, image.get_page_height()), output_format)
    settings: dict[str, str | int] = dict(_SETTINGS[output_format])
    quality = quality_of(options, output_format)
    if quality is not None and output_format in DEFAULT_QUALITY:
        settings["Q"] = quality
    if output_format == "png" and not _is_drawing(image):
        settings.update(_PHOTO_PNG)
    try:
        if image.hasalpha() and output_format in _WITHOUT_ALPHA:
            image = _flattened(image, options.background)
        quickly = _quick_jpeg(image, quality) if output_format == "jpeg" and quality is not None else None
        if quickly is None:
            encode(image, output_format, settings, result_fd)
        else:
            write_bytes(quickly, result_fd)
    except pyvips.Error as error:
        raise RenderFailed(f"the result cannot be written as {output_format.upper()}: {vips.reason(error)}") from error


def _is_drawing(image: pyvips.Image) -> bool:
    """Whether most pixels are like their left neighbour, as in flat colours and lines."""
    if image.width == 1:
        return True
    rows = image.subsample(1, max(1, image.height // _ROWS_LOOKED_AT))
    left, right = rows.crop(0, 0, rows.width - 1, rows.height), rows.crop(1, 0, rows.width - 1, rows.height)
    return bool((left == right).bandand().avg() >= _DRAWN_FROM * _TRUE)


def write_bytes(data: bytes, result_fd: int) -> None:
    """A file that is encoded already."""
    with open(result_fd, "wb", closefd=False) as result:
        result.write(data)


def quality_of(options: OutputOptions, output_format: Format) -> int | None:
    """The job's quality, or the format's default; None for a format without quality."""
    return options.quality or DEFAULT_QUALITY.get(output_format)


def _quick_jpeg(image: pyvips.Image, quality: int) -> bytes | None:
    """By libjpeg-turbo, which needs a third of the time for a thumbnail; None where libvips has to do it."""
    is_plain = image.format == "uchar" and image.bands in _PLAIN_BANDS
    if not turbojpeg.is_there() or not is_plain or image.width * image.height > _MAX_QUICK_PIXELS:
        return None
    pixels = bytes(image.write_to_memory())
    return turbojpeg.encode(turbojpeg.Decoded(image.width, image.height, image.bands, pixels), quality)


def check_side(size: Size, output_format: Format) -> None:
    """Raises PictureTooLarge where the format itself cannot hold the picture."""
    largest = _MAX_SIDE_PX.get(output_format)
    if largest is not None and max(size.width_px, size.height_px) > largest:
        raise PictureTooLarge(
            f"a {output_format.upper()} picture can have sides of at most {largest} pixels",
            "ask for a smaller result or another format",
        )


def encode(image: pyvips.Image, output_format: Format, settings: Mapping[str, str | int], result_fd: int) -> None:
    """Encode with these settings and no metadata. Raises pyvips.Error."""
    target = pyvips.Target.new_to_descriptor(result_fd)
    getattr(image, _SAVER[output_format])(target, **_WITHOUT_METADATA, **settings)
    if output_format == "webp" and image.hasalpha():
        webp.tell_transparency(result_fd)


def _flattened(image: pyvips.Image, background: str) -> pyvips.Image:
    colour = parse_hex(background)
    if image.bands == 2:  # grey with alpha: the background may have a colour
        image = image.colourspace("srgb")
    return transparent.flattened(image, list(colour))
