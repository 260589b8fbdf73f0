"""Faults in the classic protocol's words (``args.width``, ``dstURL``), the lowest number first.

For the APIs that take its requests.
"""

from imgserve.errors import FieldRef, ImgserveError, Path, Spelling, assigned, dotted
from imgserve.request.classic.codes import NUMBER
from imgserve.request.classic.recipe import flat_names
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.job import JobRequest, WholeArg
from imgserve.request.recipe import Recipe

# The field of errors that are no faults of the request's text, by their number.
_FIELD = {115: "srcURL", 116: "dstURL", 201: "srcURL", 202: "srcURL", 204: "srcURL", 205: "dstURL", 206: "srcURL"}
_OF_URLS = ("source_invalid", "source_scheme_unknown")


def spelling_of(recipe: Recipe | None, whole_arg: WholeArg = "") -> Spelling:
    """The names of fields in the request that has this recipe; None: only its operationType is known.

    ``whole_arg``: the arg that held all operations. Without it the recipe tells whether each may have had its own.
    A path that leads to no output is the protocol's own already.
    """
    names: tuple[str, ...] | None = ("",)
    if recipe is not None:
        names = None if whole_arg else flat_names(recipe.operations)
    # A preset's operations are its own; the name of the preset is all that was sent.
    place: Path = ("args", "preset", "operations") if whole_arg == "preset" else ("args", "operations")

    def spelt(field: FieldRef) -> str:
        match field.path:
            case ("source", *_):
                name = "srcURL"
            case ("outputs", 0, "destination"):
                name = "dstURL"
            case ("outputs", 0, "operations", int() as index, *rest):
                return _of_operation(FieldRef(tuple(rest), field.value), index, names, place)
            case ("outputs", 0, "encode" | "load" | "destination", arg):
                name = f"args.{arg}"
            case ("outputs", 0, *rest):
                return dotted(FieldRef(tuple(rest), field.value))
            case _:
                return dotted(field)
        return assigned(name, field.value)

    return spelt


def _of_operation(field: FieldRef, index: int, names: tuple[str, ...] | None, place: Path) -> str:
    if names is None or index >= len(names):
        return dotted(FieldRef((*place, index, *field.path), field.value))
    if names[index]:
        return dotted(FieldRef(("args", names[index], *field.path), field.value))
    match field.path:
        case ():
            return "args.width, args.height"  # resize and rasterize are at fault as a whole for their size alone
        case ("operation",):
            return assigned("operationType", field.value)
        case ("if_small",) if field.value == "enlarge":
            return "args.enlarge = true"  # the protocol's older word
        case _:
            return dotted(FieldRef(("args", *field.path), field.value))


spelling = spelling_of(None)


def output_spelling(recipe: Recipe | None) -> Spelling:
    """As ``spelling_of``, for paths that begin at a job's only output."""
    spelt = spelling_of(recipe)
    return lambda field: spelt(FieldRef(("outputs", 0, *field.path), field.value))


def number_of(error: ImgserveError) -> int | None:
    """The error's number, of several faults the lowest; None for an error that has none."""
    if isinstance(error, RequestInvalid):
        return min(map(number_of_fault, error.faults), default=None)
    return NUMBER.get(_code_at(error.code, error.path))


def number_of_fault(fault: Fault) -> int:
    return NUMBER[_code_at(fault.code, fault.path)]


def _code_at(code: str, path: Path) -> str:
    """A URL of a further picture is an arg, not srcURL. A bucket without a credential is refused by policy."""
    if code == "credential_not_allowed":
        return "destination_refused" if "destination" in path else "source_refused"
    is_arg = code in _OF_URLS and path[:1] != ("source",)
    return "field_invalid" if is_arg else code


def sentence_of(error: ImgserveError, request: JobRequest | None = None, *, is_discreet: bool = False) -> str:
    """Detail and remedy behind the field; ``request`` is the one at fault, once it has been parsed.

    ``is_discreet``: for a log, without the text that was sent.
    """
    names = _spelling_in(request)
    if isinstance(error, RequestInvalid):
        return _in_order(error, names).sentence(names, is_discreet=is_discreet)
    field, sentence = _FIELD.get(number_of(error) or 0), error.sentence(names)
    return f"{field}: {sentence}" if field and not error.path else sentence


def _in_order(error: RequestInvalid, spelling: Spelling) -> RequestInvalid:
    return RequestInvalid(*sorted(error.faults, key=lambda fault: (number_of_fault(fault), fault.sentence(spelling))))


def _spelling_in(request: JobRequest | None) -> Spelling:
    return spelling if request is None else spelling_of(request.outputs[0].recipe, request.whole_arg)
