"""All that a picture depends on, in one canonical value: what ``grammar`` reads, and what ``plan`` plans from.

Settings that change the picture are part of it, so that one value is one picture, whatever the settings are later.
"""

from typing import Literal

import msgspec

from imgserve.request.encode import Format
from imgserve.request.operations.resize import Kernel

ResizingType = Literal["fit", "fill", "fill-down", "force", "auto"]
Position = Literal["ce", "no", "so", "ea", "we", "noea", "nowe", "soea", "sowe", "sm", "fp", "re"]

# All formats that the grammar knows.
WebpCompression = Literal["lossy", "near_lossless", "lossless"]
FormatWord = Literal["jpeg", "png", "webp", "gif", "avif", "tiff", "ico", "bmp", "heic", "jxl", "svg"]


class Gravity(msgspec.Struct, frozen=True, omit_defaults=True):
    """Offsets of at least 1 are pixels, smaller ones fractions of the outer side; of ``fp`` they are the point."""

    type: Position = "ce"
    x: float = 0.0
    y: float = 0.0


CENTER = Gravity()


class Watermark(msgspec.Struct, frozen=True, omit_defaults=True):
    """``opacity`` 0: none is drawn; ``factor``: the settings' factor of it. ``scale`` 0: in its own size.

    ``name``: of the settings; ``url`` comes before it.
    """

    opacity: float = 0.0
    factor: float = 1.0
    position: Gravity = CENTER
    scale: float = 0.0
    name: str = ""
    url: str = ""

    def __repr__(self) -> str:
        return f"Watermark({self.name or 'a URL'})"


NO_WATERMARK = Watermark()


class Parameters(msgspec.Struct, frozen=True, omit_defaults=True):
    """A side of 0 follows from the other one. ``trim``: the threshold; None for no trim. ``background`` empty: none.

    ``padding``: top, right, bottom, left. ``max_bytes``, ``max_…`` 0: no limit; ``max_frame_pixels`` takes the place of
    ``max_source_pixels`` for animations.

    ``format``: the one asked for. ``accepted``: those that the client takes, of which the first is chosen if none is
    asked for; ``enforced``: those chosen even then. ``preferred``: for a source whose own format is none of them.
    ``qualities``: of each format that the result may have.
    """

    resizing_type: ResizingType = "fit"
    width: int = 0
    height: int = 0
    min_width: int = 0
    min_height: int = 0
    zoom_x: float = 1.0
    zoom_y: float = 1.0
    dpr: float = 1.0
    enlarge: bool = False
    kernel: Kernel = "lanczos3"
    extend: bool = False
    extend_gravity: Gravity = CENTER
    extend_aspect_ratio: bool = False
    extend_aspect_ratio_gravity: Gravity = CENTER
    gravity: Gravity = CENTER
    crop_width: float = 0.0
    crop_height: float = 0.0
    crop_gravity: Gravity | None = None
    crop_aspect_ratio: float = 0.0
    crop_aspect_ratio_enlarge: bool = False
    trim: float | None = None
    trim_color: str = ""
    trim_equal_hor: bool = False
    trim_equal_ver: bool = False
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    auto_rotate: bool = True
    rotate: int = 0
    flip_horizontal: bool = False
    flip_vertical: bool = False
    background: str = ""
    brightness: int = 0
    contrast: float = 1.0
    saturation: float = 1.0
    blur: float = 0.0
    sharpen: float = 0.0
    pixelate: int = 0
    watermark: Watermark = NO_WATERMARK
    strip_metadata: bool = True
    keep_copyright: bool = True
    strip_color_profile: bool = True
    format: FormatWord | None = None
    accepted: tuple[Format, ...] = ()
    enforced: tuple[Format, ...] = ()
    preferred: tuple[Format, ...] = ()
    qualities: tuple[tuple[Format, int], ...] = ()
    max_bytes: int = 0
    progressive: bool = False
    has_full_chroma: bool = False
    interlaced: bool = False
    colors: int = 0
    webp: WebpCompression = "lossy"
    page: int = 0
    skip_processing: tuple[FormatWord, ...] = ()
    rasterize_svg: bool = False
    max_source_bytes: int = 0
    max_source_pixels: int = 0
    max_frames: int = 1
    max_frame_pixels: int = 0
    max_result_dimension: int = 0

    @property
    def has_crop(self) -> bool:
        return self.crop_width > 0 or self.crop_height > 0 or self.crop_aspect_ratio > 0

    def quality_of(self, output_format: Format) -> int | None:
        return dict(self.qualities).get(output_format)
