"""A recipe: how the source is read, ordered operations, and how the result is written."""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

import msgspec

from imgserve.request.encode import Encode, Format
from imgserve.request.faults import Fault, Faults
from imgserve.request.imageref import ImageRef
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.contrast import Contrast
from imgserve.request.operations.convolve import Convolve
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.curve import Curve
from imgserve.request.operations.equalize import Equalize
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.gamma import Gamma
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.linear import Linear
from imgserve.request.operations.modulate import Modulate
from imgserve.request.operations.negate import Negate
from imgserve.request.operations.noise import Noise
from imgserve.request.operations.normalize import Normalize
from imgserve.request.operations.pixelate import Pixelate
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.redact import Redact
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.round import Round
from imgserve.request.operations.saturate import Saturate
from imgserve.request.operations.sharpen import Sharpen
from imgserve.request.operations.threshold import Threshold
from imgserve.request.operations.tint import Tint
from imgserve.request.operations.trim import Trim

Operation = (
    Blur
    | Composite
    | Contrast
    | Convolve
    | Crop
    | Curve
    | Equalize
    | Extend
    | Flatten
    | Flip
    | Flop
    | Gamma
    | Grayscale
    | Linear
    | Modulate
    | Negate
    | Noise
    | Normalize
    | Pixelate
    | Rasterize
    | Redact
    | Resize
    | Rotate
    | Round
    | Saturate
    | Sharpen
    | Threshold
    | Tint
    | Trim
)  # fmt: skip

MAX_OPERATIONS = 32  # bounds the time that one result can cost
MAX_FURTHER = 8  # different further pictures of one job: bounds its downloads, and the descriptors of one render
Dpi = Annotated[float, msgspec.Meta(ge=1, le=2400, description="dots per inch, for absolute units in an SVG")]
MAX_PAGE = 9999
Page = Annotated[int, msgspec.Meta(ge=0, le=MAX_PAGE, description="of a TIFF, an icon or an animation, from 0")]
Frames = Literal["auto", "first"] | Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE + 1)]

MEDIA_TYPE: dict[Format, str] = {name: f"image/{name}" for name in get_args(Format)}


class LoadOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the source is read."""

    strict: Annotated[
        bool, msgspec.Meta(description="a damaged file is refused; false shows the part that can be read")
    ] = True
    dpi: Dpi = 72.0
    orient: Annotated[
        bool, msgspec.Meta(description="the picture is turned upright; false leaves pixels and size as stored")
    ] = True
    page: Page = 0
    frames: Annotated[
        Frames, msgspec.Meta(description="of an animation, if the result is one: all, the first, or at most so many")
    ] = "auto"

    def capped(self, frames: int) -> int:
        """How many are taken of so many frames, the first of which is ``page``."""
        if self.frames == "auto":
            return frames
        return min(frames, 1 if self.frames == "first" else self.frames)


DEFAULT_LOAD = LoadOptions()


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    operations: tuple[Operation, ...]
    encode: Encode = msgspec.field(name="output", default=Encode())  # stored rows have this name
    load: LoadOptions = LoadOptions()

    @property
    def further(self) -> dict[ImageRef, int]:
        """The different pictures that its operations draw, in their order, and the number of each one's first one."""
        drawn: dict[ImageRef, int] = {}
        for index, operation in enumerate(self.operations):
            if isinstance(operation, Composite):
                drawn.setdefault(operation.image, index)
        return drawn

    def without_urls(self) -> "Recipe":
        """With numbers as names of its further pictures, in their order: URLs are not for those who render."""
        numbers = {image: ImageRef(name=str(number)) for number, image in enumerate(self.further)}
        if not numbers:
            return self
        operations = (
            msgspec.structs.replace(one, image=numbers[one.image]) if isinstance(one, Composite) else one
            for one in self.operations
        )
        return msgspec.structs.replace(self, operations=tuple(operations))


def check_operations(operations: Sequence[Operation]) -> None:
    """Check what needs no picture: their number, their order, and the fields of each beside each other.

    Raises RequestInvalid with paths from the list.
    """
    faults = Faults()
    if len(operations) > MAX_OPERATIONS:
        faults.append(Fault("output_count", (), f"expected at most {MAX_OPERATIONS} operations, got {len(operations)}"))
    for index, operation in enumerate(operations):
        faults.attempt((index,), check_operation, operation, index)
    faults.raise_any()


def check_operation(operation: Operation, index: int) -> None:
    """Check one operation at its place. Raises RequestInvalid with paths from the operation."""
    faults = Faults(operation.faults())
    if index > 0 and isinstance(operation, Rasterize):
        note = "rasterize draws the source itself, so it can only be the first operation"
        faults.append(Fault("field_invalid", (), note))
    faults.raise_any()
