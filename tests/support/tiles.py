"""The requests of a IIIF viewer, by arithmetic of its own: Image API 3.0, section 5.4, and 2.1, section 5.3."""

from collections.abc import Iterator
from math import floor
from typing import Any, NamedTuple

from PIL import Image


class Tile(NamedTuple):
    """``box``: its place in the picture, as Pillow has it. ``left`` and ``top``: its place in its level, in pixels."""

    scale: int
    box: tuple[int, int, int, int]
    left: int
    top: int

    @property
    def width(self) -> int:
        return -(-(self.box[2] - self.box[0]) // self.scale)

    @property
    def height(self) -> int:
        return -(-(self.box[3] - self.box[1]) // self.scale)

    @property
    def region(self) -> str:
        left, top, right, bottom = self.box
        return f"{left},{top},{right - left},{bottom - top}"

    def asked(self, version: int) -> tuple[str, tuple[int, int]]:
        """The path from the region on, and the size of the answer. 2.1 has the height follow from the width."""
        if version == 3:
            return f"{self.region}/{self.width},{self.height}/0/default.png", (self.width, self.height)
        left, top, right, bottom = self.box
        height = floor(self.width * (bottom - top) / (right - left) + 0.5)
        return f"{self.region}/{self.width},/0/default.png", (self.width, max(1, height))


def tiles_of(info: Any) -> Iterator[Tile]:
    """All that an ``info.json`` offers."""
    width, height = info["width"], info["height"]
    for kind in info["tiles"]:
        across, down = kind["width"], kind.get("height", kind["width"])
        for scale in kind["scaleFactors"]:
            for row, top in enumerate(range(0, height, down * scale)):
                for column, left in enumerate(range(0, width, across * scale)):
                    box = (left, top, min(left + across * scale, width), min(top + down * scale, height))
                    yield Tile(scale, box, column * across, row * down)


def level(info: Any, scale: int, pictures: dict[Tile, Image.Image]) -> Image.Image:
    """The whole picture at this scale, put together from its tiles. A viewer stretches each to its place."""
    whole = Image.new("RGB", (-(-info["width"] // scale), -(-info["height"] // scale)))
    for tile, picture in pictures.items():
        if tile.scale == scale:
            whole.paste(picture.resize((tile.width, tile.height)), (tile.left, tile.top))
    return whole
