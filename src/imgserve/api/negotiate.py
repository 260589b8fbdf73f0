"""The format of a result whose recipe names none, by the Accept header (RFC 9110, 12.5.1). Called by ``v1/render``.

``request/dialects/accept`` reads the header.
"""

from collections.abc import Iterable, Sequence

import msgspec

from imgserve.errors import ImgserveError
from imgserve.request.dialects.accept import ranges, weights
from imgserve.request.encode import Format
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.recipe import MEDIA_TYPE

# Formats that every browser of the last two years shows.
_SHOWN_BY_BROWSERS: frozenset[str] = frozenset({"jpeg", "png", "webp", "gif", "avif"})
_FORMAT_OF_TYPE: dict[str, Format] = {media_type: name for name, media_type in MEDIA_TYPE.items()}
# What a client of old, or of another system, calls them.
_FORMAT_OF_TYPE |= {"image/jpg": "jpeg", "image/pjpeg": "jpeg", "image/x-png": "png"}
_RANGES = ("image/*", "*/*")


class NotAcceptable(ImgserveError):
    code = "not_acceptable"
    status = 406
    title = "No format that the client accepts can be written"


class Accept(msgspec.Struct, frozen=True):
    """``named``: the weight of each format that the header names; ``is_open``: it takes any picture, or is missing."""

    named: dict[Format, float]
    is_open: bool


ANY = Accept({}, is_open=True)


def read_accept(values: Iterable[bytes]) -> Accept:
    """A header in which nothing can be read accepts nothing; an empty one is as good as none."""
    texts = tuple(values)
    if not any(text.strip(b", \t") for text in texts):
        return ANY
    given = tuple(ranges(texts))
    is_open = any(one.weight > 0 for one in given if one.name in _RANGES)
    return Accept(weights(given, _FORMAT_OF_TYPE), is_open)


def check(accept: Accept, order: Sequence[Format]) -> None:
    """Raises NotAcceptable, which does not depend on the source."""
    if best(accept, order) is None and not accept.is_open:
        raise NotAcceptable(
            "the Accept header names no picture format that is offered",
            f"accept one of {', '.join(MEDIA_TYPE[name] for name in order)}, or name encode.format in the recipe",
        )


def choose(accept: Accept, order: Sequence[Format], info: ImageInfo) -> Format:
    """``order`` decides between formats of equal quality. AVIF is offered only if it is in it, since it costs much.

    Raises NotAcceptable.
    """
    check(accept, order)
    named = best(accept, order)
    if named is not None:
        return named
    usual: Format = "png" if info.has_alpha or info.is_svg else "jpeg"
    source = (info.format,) if info.format != "svg" and info.format in _SHOWN_BY_BROWSERS else ()
    refused = {name for name, quality in accept.named.items() if quality == 0}
    return next((name for name in (*source, usual, *order) if name not in refused), usual)


def best(accept: Accept, order: Sequence[Format]) -> Format | None:
    """The named format of the highest quality, whatever the source; None: the source decides."""
    offered = [*order, *(name for name in MEDIA_TYPE if name not in order and name != "avif")]
    wanted = [name for name in offered if accept.named.get(name, 0) > 0]
    return max(wanted, key=lambda name: accept.named[name], default=None)
