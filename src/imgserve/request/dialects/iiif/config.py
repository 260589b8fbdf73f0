"""The settings of IIIF's grammar, in a module of its own. Those that all dialects share are the mount's."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from imgserve.request.limits import MAX_SIDE_PX
from imgserve.setting import Amount, Problem, Setting

ExtraFormat = Literal["webp", "tif", "gif", "avif"]
MaxSide = Annotated[int, Meta(ge=0, le=MAX_SIDE_PX)]
TileSide = Annotated[int, Meta(ge=64, le=4096)]


class Config(msgspec.Struct, frozen=True):
    """Limits that are 0 are those of the server; the smaller one holds."""

    # fmt: off
    max_width: Annotated[MaxSide, Setting(
        "width of a result before its rotation; a larger one is refused, and `max` stays below", "pixels",
        default="that of the server")] = 0
    max_height: Annotated[MaxSide, Setting("height of a result; 0: as `max_width`", "pixels")] = 0
    max_area: Annotated[Amount, Setting("width times height of a result", "pixels", default="that of the server")] = 0
    upscaling: Annotated[bool, Setting("a result may be larger than its region: `^` of 3.0, any size in 2.1")] = True
    tile_size: Annotated[TileSide, Setting("side of the tiles that viewers are told to ask for", "pixels")] = 512
    extra_formats: Annotated[tuple[ExtraFormat, ...], Setting("formats beside `jpg` and `png`")] = (
        "webp", "tif", "gif", "avif",
    )
    preferred_formats: Annotated[tuple[Literal["jpg", "png"] | ExtraFormat, ...], Setting(
        "formats that viewers are told to prefer, the best one first")] = ()
    rights: Annotated[str, Setting(
        "URL of a licence or rights statement that holds for all images", default="none is named")] = ""
    # fmt: on

    @property
    def formats(self) -> tuple[str, ...]:
        return ("jpg", "png", *self.extra_formats)

    def problems(self) -> tuple[Problem, ...]:
        problems = []
        if len(set(self.extra_formats)) < len(self.extra_formats):
            problems.append(Problem("extra_formats", "expected each format once"))
        if not set(self.preferred_formats) <= set(self.formats):
            problems.append(Problem("preferred_formats", f"expected some of {', '.join(self.formats)}"))
        if self.rights and not self.rights.startswith(("http://", "https://")):
            problems.append(Problem("rights", "expected a URL such as http://creativecommons.org/licenses/by/4.0/"))
        return tuple(problems)
