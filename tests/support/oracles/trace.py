"""What a recipe does to the sides of a picture, in numbers that can be compared with an oracle's."""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from imgserve.request.imageinfo import ImageInfo
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Step, steps_of

# The first of EXIF's orientations that swap the sides.
_LYING = 5


class Change(NamedTuple):
    """``crop``: left, top, width, height; without the corner where only pixels tell it. ``resize``: width, height.
    ``extend``: the picture's corner in the canvas, and the canvas. ``turn``: degrees, or nothing for a mirror.
    """

    name: str
    numbers: tuple[float, ...] = ()


class Traced(NamedTuple):
    changes: list[Change]
    size: tuple[int, int]

    @property
    def largest(self) -> float:
        """Of the numbers of operations with a limit. Those of crops and extends measure their source too."""
        made = [change.numbers for change in self.changes if change.name not in ("crop", "extend")]
        return max((number for numbers in made for number in numbers), default=0)


def traced(recipe: Recipe, info: ImageInfo) -> Traced:
    """``info`` is the upright picture's, as in probes. Raises NothingLeft."""
    if not recipe.load.orient and info.orientation >= _LYING:
        info = replace(info, width_px=info.height_px, height_px=info.width_px, orientation=1)
    steps = steps_of(recipe.operations, info)
    for step in steps:
        step.operation.check(step.before)
    size = steps[-1].size if steps else None
    sides = (round(info.width_px), round(info.height_px)) if size is None else (size.width_px, size.height_px)
    return Traced(list(_changes(steps)), sides)


def _changes(steps: tuple[Step, ...]) -> Iterator[Change]:
    for step in steps:
        after = (step.size.width_px, step.size.height_px)
        match step.operation:
            case Crop(gravity="attention"):
                yield Change("crop", after)
            case Crop() as crop:
                part = crop.part(step.before.size)
                yield Change("crop", (part.left, part.top, *after))
            case Resize(gravity=None):
                yield Change("resize", after)
            case Extend() as extend:
                part = extend.part(step.before.size)
                yield Change("extend", (part.left, part.top, *after))
            case Rotate(angle):
                yield Change("turn", (angle,))
            case Flip() | Flop():
                yield Change("turn")
