"""The kinds of work that servers are compared by: a cell has sources of one kind and one size, format and quality.

``sources`` makes the pictures of a cell, ``check`` and ``ask`` read its fields, ``table`` shows its title.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

Format = Literal["jpeg", "png", "webp", "avif", "gif"]
CONTENT_TYPES: Mapping[str, str] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
    "svg": "image/svg+xml",
}


class Cell(msgspec.Struct, frozen=True):
    """``effort`` is that of imgserve's default, in libvips' numbers, for libraries that are asked for the same."""

    name: str
    title: str
    source_format: Format | Literal["svg"]
    width_px: int
    height_px: int
    format: Format
    quality: int | None = None
    effort: int | None = None
    is_cut: bool = False  # cover the box and cut, instead of fitting into it
    is_scored: bool = True  # SSIMULACRA2 says nothing of a palette's dots or of a drawing's outlines
    frames: int = 1

    @property
    def extension(self) -> str:
        return "jpg" if self.format == "jpeg" else self.format

    @property
    def source_extension(self) -> str:
        return "jpg" if self.source_format == "jpeg" else self.source_format

    def size_of(self, width_px: int, height_px: int) -> tuple[int, int]:
        """The size of the result for a source of this size."""
        if self.is_cut:
            return self.width_px, self.height_px
        scale = min(self.width_px / width_px, self.height_px / height_px)
        return round(width_px * scale), round(height_px * scale)


FRAMES = 12
CELLS = (
    Cell("jpeg", "JPEG of 2040 px into 512 x 512, JPEG q80", "jpeg", 512, 512, "jpeg", 80),
    Cell("png", "PNG of 2040 px into 512 x 512, PNG", "png", 512, 512, "png", effort=3),
    Cell("webp", "WebP of 2040 px into 512 x 512, WebP q75", "webp", 512, 512, "webp", 75, effort=2),
    Cell("avif", "AVIF of 2040 px into 512 x 512, AVIF q65", "avif", 512, 512, "avif", 65, effort=0),
    Cell("thumb", "JPEG of 2 MP to 200 x 120, JPEG q80", "jpeg", 200, 120, "jpeg", 80, is_cut=True),
    Cell("large", "JPEG of 12 MP into 1200 x 1200, WebP q75", "jpeg", 1200, 1200, "webp", 75, effort=2),
    Cell("huge", "JPEG of 24 MP into 1200 x 1200, JPEG q80", "jpeg", 1200, 1200, "jpeg", 80),
    Cell("graphics", "PNG graphics of 2 MP into 800 x 800, PNG", "png", 800, 800, "png", effort=6),
    Cell(
        "gif", f"GIF of {FRAMES} frames, 480 x 360, into 240 x 240, GIF", "gif", 240, 240, "gif", effort=3,
        is_scored=False, frames=FRAMES,
    ),
    Cell("icon", "SVG icon to 64 x 64, PNG", "svg", 64, 64, "png", effort=6, is_scored=False),
    Cell("drawing", "SVG illustration into 800 x 800, PNG", "svg", 800, 800, "png", effort=6, is_scored=False),
)  # fmt: skip
