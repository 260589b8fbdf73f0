"""The source as the operations get it: parameters and its header in. For ``plan`` and ``steps``."""

import msgspec

from imgserve.request.dialects.imgproxy import place, turn
from imgserve.request.dialects.imgproxy.parameters import Gravity, Parameters
from imgserve.request.dialects.imgproxy.place import Place
from imgserve.request.dialects.imgproxy.refused import PictureRefused
from imgserve.request.dialects.imgproxy.rounding import rounded
from imgserve.request.dialects.imgproxy.sizes import Sides
from imgserve.request.dialects.imgproxy.turn import Turn
from imgserve.request.imageinfo import ImageInfo


class Stage(msgspec.Struct, frozen=True):
    """``stored``: its size in the file; ``exif``: what turns it upright; ``options``: what the URL turns it by then.

    ``is_upright``: it comes upright already. ``is_drawing``: it is an SVG, which has no pixels yet.
    """

    stored: Sides
    exif: Turn
    options: Turn
    is_upright: bool
    is_drawing: bool
    has_alpha: bool

    @property
    def start(self) -> Sides:
        """The size that the first operation finds."""
        return self.exif.sides(self.stored) if self.is_upright else self.stored

    @property
    def whole(self) -> Sides:
        """The size behind all turns, in which the URL's numbers are meant."""
        return self.options.sides(self.exif.sides(self.stored))

    @property
    def remaining(self) -> Turn:
        """What the operations have to turn it by."""
        return self.options if self.is_upright else self.exif.then(self.options)

    def in_file(self, picture: Parameters, gravity: Gravity) -> Place:
        """The place in the stored picture that becomes this one: the original cuts before it turns."""
        its_place = place.of(gravity)
        its_place = its_place.before(picture.rotate, flop=picture.flip_horizontal, flip=picture.flip_vertical)
        return its_place.before(self.exif.angle, flop=self.exif.flop, flip=False)


def of(picture: Parameters, info: ImageInfo, *, is_upright: bool) -> Stage:
    """Raises PictureRefused for a drawing without size."""
    exif = turn.of_exif(info.orientation)
    options = turn.of_options(picture.rotate, flop=picture.flip_horizontal, flip=picture.flip_vertical)
    upright = _sides(picture, info)
    stored = upright.turned(exif.angle)
    own = exif if picture.auto_rotate else turn.UPRIGHT
    return Stage(stored, own, options, is_upright, info.is_svg, info.may_be_transparent)


def _sides(picture: Parameters, info: ImageInfo) -> Sides:
    """Whole pixels, upright. A drawing that is larger than allowed is drawn smaller."""
    if not (info.width_px > 0 and info.height_px > 0):
        raise PictureRefused("the source has no size of its own")
    sides = Sides(max(1, rounded(info.width_px)), max(1, rounded(info.height_px)))
    pixels = sides.width * sides.height
    if not info.is_svg or not 0 < picture.max_source_pixels < pixels:
        return sides
    scale = (picture.max_source_pixels / pixels) ** 0.5
    return Sides(max(1, rounded(sides.width * scale)), max(1, rounded(sides.height * scale)))
