"""Checks a picture against the limits before anything is decoded. Called by probe, pipeline, svgz and draw.

The API has checked the request against the same limits; this checks the actual bytes, as security.
"""

from imgserve.imaging.faults import PictureTooLarge
from imgserve.request.geometry import Shape
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits


def check_svg_bytes(size_bytes: int, limits: Limits) -> None:
    """Raises PictureTooLarge. Must come before librsvg opens the file, which is the dangerous step."""
    if size_bytes > limits.svg_bytes:
        raise PictureTooLarge(f"the SVG is longer than the limit svg_bytes = {limits.svg_bytes}", "simplify the SVG")


def check_source(info: ImageInfo, limits: Limits) -> None:
    """Raises PictureTooLarge, which names the limit. An SVG has no pixels of its own."""
    if info.is_svg:
        return
    pixels = int(info.width_px * info.height_px)
    shape = f"{info.width_px:g} x {info.height_px:g} pixels"
    if pixels > limits.frame_pixels:
        raise _too_large(f"{shape}, above the limit frame_pixels = {limits.frame_pixels}")
    check_frames(info.frames, limits)
    if pixels * info.frames > limits.total_pixels:
        raise _too_large(f"{info.frames} frames of {shape}, above the limit total_pixels = {limits.total_pixels}")


def check_frames(frames: int, limits: Limits) -> None:
    """Raises PictureTooLarge."""
    if frames > limits.frames:
        raise _too_large(f"more frames than the limit frames = {limits.frames}")


def check_output(size: Size, limits: Limits, frames: int = 1) -> None:
    """Raises PictureTooLarge."""
    side = max(size.width_px, size.height_px)
    if min(size.width_px, size.height_px) < 1 or side > limits.output_side_px:
        raise PictureTooLarge(
            f"a result of {size.width_px} x {size.height_px} pixels is beyond output_side_px = {limits.output_side_px}",
            "ask for a smaller result",
        )
    if size.width_px * size.height_px * frames > limits.output_pixels:
        shape = f"{size.width_px} x {size.height_px} pixels" + (f" in {frames} frames" if frames > 1 else "")
        raise PictureTooLarge(
            f"a result of {shape} is beyond output_pixels = {limits.output_pixels}",
            "ask for a smaller result, or for a format without frames" if frames > 1 else "ask for a smaller result",
        )


def check_covering(before: Shape, whole: Size, limits: Limits) -> None:
    """Raises PictureTooLarge if a very narrow picture would become enormous (``whole``) before it is cropped."""
    pixels = before.width_px * before.height_px
    if whole.width_px * whole.height_px > max(limits.total_pixels, pixels):
        raise PictureTooLarge(
            f"a picture of {before.width_px:g} x {before.height_px:g} pixels would have to be enlarged to "
            f"{whole.width_px} x {whole.height_px}, beyond the limit total_pixels = {limits.total_pixels}",
            "ask for a shape that is nearer to the picture's",
        )


def _too_large(what: str) -> PictureTooLarge:
    return PictureTooLarge(f"the source has {what}", "send a smaller picture")
