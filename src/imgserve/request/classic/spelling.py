"""Faults in the classic protocol's words (``args.width``, ``dstURL``), the lowest number first.

For the APIs that take its requests.
"""

import msgspec

from imgserve.errors import FieldRef, ImgserveError, assigned, dotted, spell
from imgserve.request.classic.codes import NUMBER
from imgserve.request.faults import RequestInvalid

# The field of errors that are no faults of the request's text, by their number.
_FIELD = {115: "srcURL", 116: "dstURL", 201: "srcURL", 202: "srcURL", 204: "srcURL", 205: "dstURL", 206: "srcURL"}


def spelling(field: FieldRef) -> str:
    """A field's name in a classic request. Other paths are the protocol's own already."""
    match field.path:
        case ("source", *_):
            name = "srcURL"
        case ("outputs", 0, "destination"):
            name = "dstURL"
        case ("outputs", 0, "operations", 0):
            name = "args.width, args.height"  # an operation as a whole is at fault for its size alone
        case ("outputs", 0, "operations", 0, "operation"):
            name = "operationType"
        case ("outputs", 0, "operations", 0, "if_small") if field.value == "enlarge":
            return "args.enlarge = true"  # the protocol's older word
        case ("outputs", 0, "operations", 0, arg) | ("outputs", 0, "encode" | "load" | "destination", arg):
            name = f"args.{arg}"
        case ("outputs", 0, *names):
            return dotted(FieldRef(tuple(names), field.value))
        case _:
            return dotted(field)
    return assigned(name, field.value)


def output_spelling(field: FieldRef) -> str:
    """A field of a job's only output."""
    return spelling(FieldRef(("outputs", 0, *field.path), field.value))


def number_of(error: ImgserveError) -> int | None:
    """The error's number, of several faults the lowest; None for an error that has none."""
    codes = [fault.code for fault in error.faults] if isinstance(error, RequestInvalid) else [error.code]
    return min((NUMBER[code] for code in codes if code in NUMBER), default=None)


def sentence_of(error: ImgserveError, *, is_discreet: bool = False) -> str:
    """Detail and remedy behind the field. ``is_discreet``: for a log, without the text that was sent."""
    if isinstance(error, RequestInvalid):
        return _in_order(error).sentence(spelling, is_discreet=is_discreet)
    field, sentence = _FIELD.get(number_of(error) or 0), error.sentence(spelling)
    return f"{field}: {sentence}" if field else sentence


def in_classic_words(error: ImgserveError) -> ImgserveError:
    """The same error in this protocol's order, with its names for fields."""
    if not isinstance(error, RequestInvalid):
        error.hint = spell(error.hint, spelling)
        return error
    faults = (
        msgspec.structs.replace(fault, path=(spelling(FieldRef(fault.path)),), note=spell(fault.note, spelling))
        for fault in _in_order(error).faults
    )
    return RequestInvalid(*faults)


def _in_order(error: RequestInvalid) -> RequestInvalid:
    return RequestInvalid(*sorted(error.faults, key=lambda fault: (NUMBER[fault.code], fault.sentence(spelling))))
