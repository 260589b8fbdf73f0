"""The options of size, place and orientation. For ``table``."""

from functools import partial

import msgspec

from imgserve.request.dialects.imgproxy.arguments import (
    boolean,
    factor,
    integer,
    number,
    offset,
    word,
)
from imgserve.request.dialects.imgproxy.options.options import (
    Apply,
    Arguments,
    Options,
    check_count,
    given,
    set_in,
    sets,
)
from imgserve.request.dialects.imgproxy.parameters import Gravity, Position, ResizingType
from imgserve.request.dialects.imgproxy.refused import InvalidUrl
from imgserve.request.operations.resize import Kernel

RESIZING_TYPES: tuple[ResizingType, ...] = ("fit", "fill", "fill-down", "force", "auto")
PLACES: tuple[Position, ...] = ("ce", "no", "so", "ea", "we", "noea", "nowe", "soea", "sowe")
_FOR_EXTEND: tuple[Position, ...] = (*PLACES, "fp")
_FOR_CROP: tuple[Position, ...] = (*_FOR_EXTEND, "sm")
_KERNELS: tuple[Kernel, ...] = ("nearest", "linear", "cubic", "lanczos2", "lanczos3")

width = sets("width", integer)
height = sets("height", integer)
enlarge = sets("enlarge", boolean)
resizing_type = sets("resizing_type", lambda text: word(text, RESIZING_TYPES))


def resize(options: Options, arguments: Arguments) -> Options:
    """Type, then as ``size``."""
    check_count(arguments, 8)
    if arguments[0]:
        options = resizing_type(options, arguments[:1])
    return size(options, arguments[1:])


def size(options: Options, arguments: Arguments) -> Options:
    """Width, height, enlarge, extend and its gravity."""
    check_count(arguments, 7)
    for index, apply in enumerate((width, height, enlarge)):
        if given(arguments, index):
            options = apply(options, arguments[index : index + 1])
    return extend(options, arguments[3:]) if given(arguments, 3) else options


def zoom(options: Options, arguments: Arguments) -> Options:
    check_count(arguments, 2)
    return set_in(options, zoom_x=factor(arguments[0]), zoom_y=factor(arguments[-1]))


def gravity(options: Options, arguments: Arguments) -> Options:
    return set_in(options, gravity=_gravity(options.picture.gravity, arguments, _FOR_CROP))


def _extend(field: str, options: Options, arguments: Arguments) -> Options:
    check_count(arguments, 4)
    its_gravity = getattr(options.picture, f"{field}_gravity")
    if len(arguments) > 1:
        its_gravity = _gravity(its_gravity, arguments[1:], _FOR_EXTEND)
    return set_in(options, **{field: boolean(arguments[0]), f"{field}_gravity": its_gravity})


extend: Apply = partial(_extend, "extend")
extend_aspect_ratio: Apply = partial(_extend, "extend_aspect_ratio")


def crop(options: Options, arguments: Arguments) -> Options:
    options = set_in(options, crop_width=number(arguments[0]))
    if len(arguments) > 1:
        options = set_in(options, crop_height=number(arguments[1]))
    if len(arguments) > 2:
        before = options.picture.crop_gravity or Gravity()
        options = set_in(options, crop_gravity=_gravity(before, arguments[2:], _FOR_CROP))
    return options


def crop_aspect_ratio(options: Options, arguments: Arguments) -> Options:
    check_count(arguments, 2)
    ratio = number(arguments[0], most=100_000)
    if 0 < ratio < 1e-5:
        raise InvalidUrl("expected an aspect ratio from 1e-5 to 1e5")
    enlarged = boolean(arguments[1]) if given(arguments, 1) else options.picture.crop_aspect_ratio_enlarge
    return set_in(options, crop_aspect_ratio=ratio, crop_aspect_ratio_enlarge=enlarged)


def padding(options: Options, arguments: Arguments) -> Options:
    """As in CSS: right is top if it is missing, bottom top, left right."""
    check_count(arguments, 4)
    top = integer(arguments[0]) if arguments[0] else options.picture.padding[0]
    right = integer(arguments[1]) if given(arguments, 1) else top
    bottom = integer(arguments[2]) if given(arguments, 2) else top
    left = integer(arguments[3]) if given(arguments, 3) else right
    return set_in(options, padding=(top, right, bottom, left))


def rotate(options: Options, arguments: Arguments) -> Options:
    check_count(arguments, 1)
    angle = integer(arguments[0], least=-1_000_000, most=1_000_000)
    if angle % 90:
        raise InvalidUrl(f"expected an angle of whole quarters, got {angle}")
    return set_in(options, rotate=angle % 360)


def flip(options: Options, arguments: Arguments) -> Options:
    check_count(arguments, 2)
    if arguments[0]:
        options = set_in(options, flip_horizontal=boolean(arguments[0]))
    if given(arguments, 1):
        options = set_in(options, flip_vertical=boolean(arguments[1]))
    return options


def position(before: Gravity, text: str, words: tuple[Position, ...]) -> Gravity:
    """The place alone: offsets that are there stay."""
    return msgspec.structs.replace(before, type=word(text, words))


def _gravity(before: Gravity, arguments: Arguments, words: tuple[Position, ...]) -> Gravity:
    result = position(before, arguments[0], words)
    if result.type == "sm":
        check_count(arguments, 1)
        return Gravity("sm")
    check_count(arguments, 3)
    if result.type == "fp" and len(arguments) < 3:
        raise InvalidUrl("a focus point needs x and y")
    read = _share if result.type == "fp" else offset
    for name, text in zip(("x", "y"), arguments[1:], strict=False):
        result = msgspec.structs.replace(result, **{name: read(text)})
    return result


def _share(text: str) -> float:
    return number(text, most=1.0)


OPTIONS: dict[tuple[str, ...], Apply] = {
    ("resize", "rs"): resize,
    ("size", "s"): size,
    ("resizing_type", "rt"): resizing_type,
    ("resizing_algorithm", "ra"): sets("kernel", lambda text: word(text, _KERNELS)),
    ("width", "w"): width,
    ("height", "h"): height,
    ("min-width", "mw"): sets("min_width", integer),
    ("min-height", "mh"): sets("min_height", integer),
    ("zoom", "z"): zoom,
    ("dpr",): sets("dpr", factor),
    ("enlarge", "el"): enlarge,
    ("extend", "ex"): extend,
    ("extend_aspect_ratio", "extend_ar", "exar"): extend_aspect_ratio,
    ("gravity", "g"): gravity,
    ("crop", "c"): crop,
    ("crop_aspect_ratio", "crop_ar", "car"): crop_aspect_ratio,
    ("padding", "pd"): padding,
    ("auto_rotate", "ar"): sets("auto_rotate", boolean),
    ("rotate", "rot"): rotate,
    ("flip", "fl"): flip,
}
