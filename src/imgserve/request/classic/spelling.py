"""Faults in the classic protocol's words: ``args.width``, ``dstURL``, the lowest number first. For the APIs that take
its requests.
"""

import msgspec

from imgserve.errors import ImgserveError
from imgserve.request.classic.codes import NUMBER
from imgserve.request.faults import Path, RequestInvalid, dotted

# Errors of these numbers are those of a source or of a destination.
_FIELD = {115: "srcURL", 116: "dstURL", 201: "srcURL", 202: "srcURL", 204: "srcURL", 205: "dstURL", 206: "srcURL"}


def spelt(path: Path) -> str:
    """A field as a classic request calls it; other paths are the protocol's own already."""
    match path:
        case ("source", *_):
            return "srcURL"
        case ("outputs", 0, "destination"):
            return "dstURL"
        case ("outputs", 0, "operations", 0):
            return "args.width, args.height"  # an operation as a whole is at fault for its size alone
        case ("outputs", 0, "operations", 0, "operation"):
            return "operationType"
        case ("outputs", 0, "operations", 0, name) | ("outputs", 0, "encode" | "load" | "destination", name):
            return f"args.{name}"
        case ("outputs", 0, *names):
            return dotted(tuple(names))
        case _:
            return dotted(path)


def number_of(error: ImgserveError) -> int | None:
    """The error's number, of several faults the lowest; None for an error that has none."""
    codes = [fault.code for fault in error.faults] if isinstance(error, RequestInvalid) else [error.code]
    return min((NUMBER[code] for code in codes if code in NUMBER), default=None)


def sentence_of(error: ImgserveError, *, is_discreet: bool = False) -> str:
    """Detail and remedy behind the field. ``is_discreet``: for a log, without the text that was sent."""
    if isinstance(error, RequestInvalid):
        return _in_order(error).sentences(spelt, is_discreet=is_discreet)
    field = _FIELD.get(number_of(error) or 0)
    return f"{field}: {error.sentence()}" if field else error.sentence()


def in_classic_words(error: RequestInvalid) -> RequestInvalid:
    """The same faults in this protocol's order, with its names for paths."""
    return RequestInvalid(*(msgspec.structs.replace(one, path=(spelt(one.path),)) for one in _in_order(error).faults))


def _in_order(error: RequestInvalid) -> RequestInvalid:
    return RequestInvalid(*sorted(error.faults, key=lambda fault: (NUMBER[fault.code], fault.sentence(spelt))))
