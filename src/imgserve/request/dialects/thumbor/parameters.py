"""What a thumbor URL asks of a picture, in canonical form: equal pictures have equal values, however they are spelt."""

from typing import Literal

import msgspec

from imgserve.request.dialects.thumbor.stage import Filter
from imgserve.request.encode import Format

Corner = Literal["top-left", "bottom-right"]
Fit = Literal["", "fit-in", "full-fit-in", "adaptive-fit-in", "adaptive-full-fit-in"]
HAlign = Literal["left", "center", "right"]
VAlign = Literal["top", "middle", "bottom"]
Side = int | Literal["orig"]
OutputFormat = Format | Literal["heic", "jxl", "jp2"]


class Trimming(msgspec.Struct, frozen=True):
    corner: Corner = "top-left"
    tolerance: int = 0


class Edges(msgspec.Struct, frozen=True):
    """The sides of a box in pixels of the source; imagor's may be fractions of its size."""

    left: float
    top: float
    right: float
    bottom: float


class Padding(msgspec.Struct, frozen=True):
    """imagor's, inside the box of the size."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


class Imagor(msgspec.Struct, frozen=True):
    """What only imagor has. ``orient``: counter-clockwise, before all else. ``page`` begins at 1, 0: none is named."""

    padding: Padding = Padding()
    orient: int = 0
    is_enlarged: bool | None = None
    page: int = 0
    dpi: int = 0
    max_frames: int = 0
    is_lossless: bool = False
    has_palette: bool = False
    bit_depth: int = 0
    profile: Literal["source", "srgb", "p3"] = "source"
    has_metadata: bool = True
    is_raw: bool = False


class Parameters(msgspec.Struct, frozen=True):
    """``width`` and ``height`` 0: follow from the other side. ``focals``: in the order of the URL.

    ``filters``: those that change pixels, in the order of the URL. The fields behind them are those of filters whose
    place in the URL does not matter. ``accepted``: formats that may be chosen where the URL names none. ``imagor``: the
    URL is read as imagor reads it.
    """

    trim: Trimming | None = None
    crop: Edges | None = None
    fit: Fit = ""
    width: Side = 0
    height: Side = 0
    is_flopped: bool = False
    is_flipped: bool = False
    halign: HAlign = "center"
    valign: VAlign = "middle"
    is_smart: bool = False
    filters: tuple[Filter, ...] = ()

    focals: tuple[Edges, ...] = ()
    is_stretched: bool = False
    is_kept_small: bool = False
    is_cover: bool = False
    format: OutputFormat | None = None
    quality: int | None = None
    max_bytes: int | None = None
    is_auto_jpg: bool | None = None

    is_debug: bool = False
    is_meta: bool = False
    accepted: tuple[Format, ...] = ()
    imagor: Imagor | None = None
