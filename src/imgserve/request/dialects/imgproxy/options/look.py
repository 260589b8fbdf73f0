"""The options that change pixels: trim, background, filters, watermark. For ``table``."""

import msgspec

from imgserve.request.dialects.imgproxy.arguments import (
    base64_text,
    boolean,
    color,
    factor,
    integer,
    number,
    offset,
)
from imgserve.request.dialects.imgproxy.options.geometry import PLACES, position
from imgserve.request.dialects.imgproxy.options.options import (
    Apply,
    Arguments,
    Options,
    check_count,
    given,
    set_in,
    sets,
)
from imgserve.request.dialects.imgproxy.parameters import Position
from imgserve.request.dialects.imgproxy.refused import InvalidUrl

_FOR_WATERMARK: tuple[Position, ...] = (*PLACES, "re")
_MOST_OF_CHANNEL = 255


def trim(options: Options, arguments: Arguments) -> Options:
    """Threshold, colour, and whether the cuts of two opposite sides are equal. No threshold: no trim."""
    check_count(arguments, 4)
    threshold = offset(arguments[0]) if arguments[0] else None
    its_color = color(arguments[1]) if given(arguments, 1) else ""
    options = set_in(options, trim=threshold, trim_color=its_color)
    if given(arguments, 2):
        options = set_in(options, trim_equal_hor=boolean(arguments[2]))
    if given(arguments, 3):
        options = set_in(options, trim_equal_ver=boolean(arguments[3]))
    return options


def background(options: Options, arguments: Arguments) -> Options:
    """Hexadecimal digits, or three numbers; empty: none."""
    if len(arguments) == 1:
        return set_in(options, background=color(arguments[0]) if arguments[0] else "")
    if len(arguments) != len("rgb"):
        raise InvalidUrl(f"expected 1 or 3 arguments, got {len(arguments)}")
    channels = [integer(text, most=_MOST_OF_CHANNEL) for text in arguments]
    return set_in(options, background="#" + "".join(f"{channel:02x}" for channel in channels))


def watermark(options: Options, arguments: Arguments) -> Options:
    """Opacity, position, x, y, scale."""
    check_count(arguments, 5)
    mark = msgspec.structs.replace(options.picture.watermark, opacity=number(arguments[0], most=1.0))
    place = mark.position
    if given(arguments, 1):
        place = position(place, arguments[1], _FOR_WATERMARK)
    if given(arguments, 2):
        place = msgspec.structs.replace(place, x=offset(arguments[2]))
    if given(arguments, 3):
        place = msgspec.structs.replace(place, y=offset(arguments[3]))
    scale = factor(arguments[4]) if given(arguments, 4) else mark.scale
    return set_in(options, watermark=msgspec.structs.replace(mark, position=place, scale=scale))


def watermark_url(options: Options, arguments: Arguments) -> Options:
    """In base64. Empty: the settings' picture."""
    check_count(arguments, 1)
    its_url = base64_text(arguments[0])
    return set_in(options, watermark=msgspec.structs.replace(options.picture.watermark, url=its_url))


def adjust(options: Options, arguments: Arguments) -> Options:
    """Brightness, contrast, saturation."""
    check_count(arguments, 3)
    for index, apply in enumerate((brightness, contrast, saturation)):
        if given(arguments, index):
            options = apply(options, arguments[index : index + 1])
    return options


def _strength(text: str) -> float:
    return number(text, most=100.0)


brightness = sets("brightness", lambda text: integer(text, least=-_MOST_OF_CHANNEL, most=_MOST_OF_CHANNEL))
contrast = sets("contrast", _strength)
saturation = sets("saturation", _strength)

OPTIONS: dict[tuple[str, ...], Apply] = {
    ("trim", "t"): trim,
    ("background", "bg"): background,
    ("adjust", "a"): adjust,
    ("brightness", "br"): brightness,
    ("contrast", "co"): contrast,
    ("saturation", "sa"): saturation,
    ("blur", "bl"): sets("blur", number),
    ("sharpen", "sh"): sets("sharpen", number),
    ("pixelate", "pix"): sets("pixelate", integer),
    ("watermark", "wm"): watermark,
    ("watermark_url", "wmu"): watermark_url,
}
