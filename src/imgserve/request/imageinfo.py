"""The values of a picture's header. A worker reads them; all other code gets plain values."""

from typing import Literal

import msgspec

SourceFormat = Literal["jpeg", "png", "webp", "gif", "tiff", "avif", "heic", "bmp", "ico", "svg"]


class ImageInfo(msgspec.Struct, frozen=True):
    """A source, by its header. Width and height are pixels *after* orientation (an SVG's: fractions).

    ``orientation``: EXIF's number (CIPA DC-008, 4.6.4), 1 for upright. ``has_alpha``: it has an alpha channel.
    """

    format: SourceFormat
    width_px: float
    height_px: float
    frames: int = 1
    orientation: int = 1
    has_alpha: bool = False

    @property
    def is_svg(self) -> bool:
        return self.format == "svg"

    @property
    def may_be_transparent(self) -> bool:
        """A drawing is, wherever it is not drawn on."""
        return self.has_alpha or self.is_svg


class Size(msgspec.Struct, frozen=True):
    """The final size of a rendition in pixels. Resolved before the reply, it holds even if the source changes."""

    width_px: int
    height_px: int
