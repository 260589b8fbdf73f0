"""A picture on its way through the filters, and the base of all filters. Used by ``plan``."""

from typing import ClassVar

import msgspec

from imgserve.request.dialects.thumbor.refused import BadUrl
from imgserve.request.imageinfo import Size
from imgserve.request.limits import MAX_SIDE_PX
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Operation

# thumbor drops the alpha channel, and its resize has made what is transparent black. libvips has black too.
BLACK = "#000000"


class Stage(msgspec.Struct, frozen=True):
    """``box``: the size that ``fill`` and ``upscale`` bring a picture to; a side of 0 is the picture's own.

    ``operations``: those that lead here. ``has_alpha``: the picture may be transparent somewhere.
    ``matte``: the colour behind it in a format without transparency.
    ``padding``: imagor's, at the left, the top, the right and the bottom of the box.
    """

    size: Size
    box: tuple[int, int] = (0, 0)
    has_alpha: bool = False
    operations: tuple[Operation, ...] = ()
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    is_animated: bool = False
    matte: str = BLACK

    def then(self, *operations: Operation, size: Size | None = None, has_alpha: bool | None = None) -> "Stage":
        """Raises BadUrl."""
        # A part of a source may be as large as a source.
        is_part = size is not None and not any(isinstance(one, Resize) for one in operations)
        most = max(MAX_SIDE_PX, self.size.width_px, self.size.height_px) if is_part else MAX_SIDE_PX
        if size is not None and max(size.width_px, size.height_px) > most:
            raise BadUrl(f"the picture would become {size.width_px} x {size.height_px} px, at most {most} are")
        return msgspec.structs.replace(
            self,
            operations=self.operations + operations,
            size=size or self.size,
            has_alpha=self.has_alpha if has_alpha is None else has_alpha,
        )

    def resized(self, width: int, height: int) -> "Stage":
        """Nothing happens where the size is right already."""
        size = Size(max(1, width), max(1, height))
        return self if size == self.size else self.then(exact(size), size=size)

    def cropped(self, left: int, top: int, width: int, height: int) -> "Stage":
        if (width, height) == (self.size.width_px, self.size.height_px):
            return self
        return self.then(Crop(left=left, top=top, width=width, height=height), size=Size(width, height))

    def placed(self, left: int, top: int, size: Size, space: Extend) -> "Stage":
        """In a box of this size, of which ``space`` fills the rest; a picture that is larger is cut."""
        own = self.size
        cut_left, cut_top = max(0, -left), max(0, -top)
        left, top = max(0, left), max(0, top)
        width, height = min(own.width_px - cut_left, size.width_px), min(own.height_px - cut_top, size.height_px)
        stage = self.cropped(cut_left, cut_top, width, height)
        if stage.size == size:
            return stage
        margins = {
            "left": left,
            "top": top,
            "right": size.width_px - left - width,
            "bottom": size.height_px - top - height,
        }
        return stage.then(msgspec.structs.replace(space, **margins), size=size)

    @property
    def target(self) -> Size:
        """The box, with the picture's own sides where it has none."""
        return Size(self.box[0] or self.size.width_px, self.box[1] or self.size.height_px)


def exact(size: Size) -> Resize:
    """To this very size, by the filter that thumbor and imagor use."""
    return Resize(size.width_px, size.height_px, fit="fill", if_small="enlarge", linear_light=False)


class Filter(msgspec.Struct, frozen=True, tag_field="filter", tag=True):
    """A filter that changes the picture, in the order of the URL. Its fields are its arguments (``arguments``).

    Caches know parameters by their JSON, in which the tag tells two filters without arguments apart.
    """

    word: ClassVar[str]

    @property
    def needs_whole(self) -> bool:
        """Whether imagor loads the source at its full size for it."""
        return False

    def applied(self, stage: Stage) -> Stage:
        raise NotImplementedError
