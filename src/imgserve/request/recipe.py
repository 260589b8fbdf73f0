"""A recipe: how the source is read, ordered operations, and how the result is written."""

from typing import Annotated, Literal, get_args

import msgspec

from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize

Operation = Resize | Rasterize

Format = Literal["jpeg", "png", "webp", "gif", "tiff", "avif"]
MAX_OPERATIONS = 32  # bounds the time that one result can cost
Dpi = Annotated[float, msgspec.Meta(ge=1, le=2400, description="dots per inch, for absolute units in an SVG")]
Quality = Annotated[int, msgspec.Meta(ge=1, le=100)]

MEDIA_TYPE: dict[Format, str] = {name: f"image/{name}" for name in get_args(Format)}
DEFAULT_QUALITY: dict[Format, int] = {"jpeg": 80, "webp": 79, "avif": 58}


class OutputOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``format`` None means: the source's. ``background`` is ``#rrggbb``, used where the format has no alpha."""

    format: Format | None = None
    quality: Quality | None = None
    background: str = "#ffffff"


class LoadOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the source is read. ``strict`` refuses a damaged file; without it the readable part is shown."""

    strict: bool = True
    dpi: Dpi = 72.0


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    operations: tuple[Operation, ...]
    output: OutputOptions = OutputOptions()
    load: LoadOptions = LoadOptions()
