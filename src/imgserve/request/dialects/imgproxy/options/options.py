"""The set of options while a URL is read, left to right: the last writer of a field wins. And how an option is applied.

An option is a function from the set, and its arguments, to the set behind it.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from imgserve.request.dialects.imgproxy.parameters import FormatWord, Parameters
from imgserve.request.dialects.imgproxy.refused import InvalidUrl

Arguments = tuple[str, ...]


class Options(msgspec.Struct, frozen=True):
    """``picture`` is not canonical yet. ``quality`` 0: by format, ``format_quality`` before the settings'.

    ``is_still``: one frame, whatever their limit is. ``now_s``: the time of the request. ``expires_at_s`` 0: never.
    """

    picture: Parameters = Parameters()
    quality: int = 0
    format_quality: tuple[tuple[FormatWord, int], ...] = ()
    is_raw: bool = False
    is_still: bool = False
    filename: str = ""
    is_attachment: bool = False
    expires_at_s: int = 0
    now_s: float = 0.0


Apply = Callable[[Options, Arguments], Options]


def set_in(options: Options, **fields: Any) -> Options:
    """With these fields of the picture."""
    return msgspec.structs.replace(options, picture=msgspec.structs.replace(options.picture, **fields))


def sets(field: str, read: Callable[[str], object]) -> Apply:
    """The option that sets one field of the picture by its only argument."""

    def apply(options: Options, arguments: Arguments) -> Options:
        check_count(arguments, 1)
        return set_in(options, **{field: read(arguments[0])})

    return apply


def check_count(arguments: Arguments, most: int) -> None:
    """Raises InvalidUrl."""
    if len(arguments) > most:
        raise InvalidUrl(f"expected at most {most} arguments, got {len(arguments)}")


def given(arguments: Arguments, index: int) -> str:
    """The argument at this place; empty if it is missing, which leaves things as they are."""
    return arguments[index] if index < len(arguments) else ""
