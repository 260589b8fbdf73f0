"""The recipe in ``args``: flat args in a fixed order, or a list of operations, or a preset. Called by ``parse``.

A flat arg holds the fields of the native operation, or one value of it. The operations and their fields come from
``native``; this module only names the args. Paths of faults begin at ``args``.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from imgserve.errors import FieldRef
from imgserve.request import color
from imgserve.request.encode import Encode, faults_of
from imgserve.request.faults import Fault, Faults, RequestInvalid
from imgserve.request.fields import fields_of, read_fields
from imgserve.request.job import WholeArg
from imgserve.request.native import (
    NO_PRESETS,
    OPERATIONS,
    check_presets_only,
    find_preset,
    name_of,
    parse_operation,
    parse_operations,
)  # fmt: skip
from imgserve.request.recipe import LoadOptions, Operation, Recipe

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

TYPES = ("resize", "rasterize")
"""The values of operationType. The fields of these operations are flat args themselves."""


class Arg(NamedTuple):
    """The flat arg of an operation: ``value`` are the fields that one value sets.

    ``is_switch``: true asks for the operation with its defaults, false for none. ``is_name``: the value is the name of
    a picture. ``has_space``: the arg ``background`` colours the space that the operation adds.
    """

    operation: str
    value: tuple[str, ...] = ()
    is_switch: bool = False
    is_name: bool = False
    has_space: bool = False


# In the order in which they are carried out, before and after resize.
BEFORE = {
    "trim": Arg("trim", ("threshold",), is_switch=True),
    "crop": Arg("crop", ("aspect",)),
    "rotate": Arg("rotate", ("angle",), has_space=True),
}
AFTER = {
    "flip": Arg("flip", is_switch=True),
    "flop": Arg("flop", is_switch=True),
    "redact": Arg("redact"),
    "modulate": Arg("modulate"),
    "saturate": Arg("saturate", ("factor",)),
    "linear": Arg("linear"),
    "contrast": Arg("contrast", ("factor",)),
    "gamma": Arg("gamma", ("gamma",)),
    "curve": Arg("curve"),
    "normalize": Arg("normalize", is_switch=True),
    "equalize": Arg("equalize", is_switch=True),
    "negate": Arg("negate", is_switch=True),
    "grayscale": Arg("grayscale", ("method",), is_switch=True),
    "tint": Arg("tint", ("color",)),
    "threshold": Arg("threshold", ("value",), is_switch=True),
    "blur": Arg("blur", ("sigma",)),
    "sharpen": Arg("sharpen", ("sigma",), is_switch=True),
    "convolve": Arg("convolve", ("mask",)),
    "pixelate": Arg("pixelate", ("size",)),
    "noise": Arg("noise", ("amount",)),
    "watermark": Arg("composite", ("image",), is_name=True),
    "round": Arg("round", ("radius",)),
    "extend": Arg("extend", ("top", "right", "bottom", "left"), has_space=True),
    "flatten": Arg("flatten", ("background",), is_switch=True, has_space=True),
}
# Args that are a field of an operation.
PARTS = {"brightness": "modulate", "saturation": "modulate", "hue": "modulate"}


class Own(msgspec.Struct, frozen=True):
    """Args with a meaning of their own: ``enlarge`` is older than ``if_small``, ``background`` is that of each
    operation with new space, and of the result.
    """

    enlarge: bool | None = None
    background: color.Color | None = None


@cache
def operation_args(name: str | None) -> tuple[str, ...]:
    """The args of a job of this operationType that make its operations."""
    fields = [field for field in fields_of(OPERATIONS[name]) if field != "background"] if name else []
    return (*fields, *(("enlarge",) if name == "resize" else ()), *BEFORE, *AFTER, *PARTS)


@cache
def recipe_args(name: str | None) -> tuple[str, ...]:
    """The args of a job of this operationType that make its recipe."""
    options = (*fields_of(LoadOptions), *fields_of(Encode))
    return ("operations", "preset", *operation_args(name), *options)


def flat_names(operations: Sequence[Operation], *, needs_type: bool = True) -> tuple[str, ...] | None:
    """The flat arg of each operation, empty for that of operationType; None if flat args make no such list.

    ``needs_type``: one of them must be that of operationType.
    """
    named = [name_of(operation) for operation in operations]
    main = next((name for name in named if name in TYPES), "")
    if needs_type and not main:
        return None
    before, after = ([(row.operation, arg) for arg, row in rows.items()] for rows in (BEFORE, AFTER))
    order = dict(_in_order(main, [(main, "")], before, after))
    is_flat = named == [name for name in order if name in named]
    return tuple(order[name] for name in named) if is_flat else None


def _in_order(name: str | None, main: Sequence[T], before: Sequence[T], after: Sequence[T]) -> tuple[T, ...]:
    # An SVG is drawn before anything can be done to it.
    return (*main, *before, *after) if name == "rasterize" else (*before, *main, *after)


def read_recipe(
    name: str | None,
    args: Mapping[str, object],
    presets: Mapping[str, Recipe] = NO_PRESETS,
    *,
    presets_only: bool = False,
) -> Recipe:
    """The recipe of a job of the operationType ``name``; without one the picture keeps its size.

    Raises RequestInvalid, PresetsOnly.
    """
    if presets_only:
        check_presets_only(arg for arg in recipe_args(name) if arg in args)
    faults, usual = Faults(), Recipe(())
    own = Own(**read_fields(args, Own, faults))
    if "preset" in args:
        usual = faults.attempt(("preset",), find_preset, args["preset"], presets) or usual
    key = whole_arg_of(args)
    operations = _whole(key, name, args, usual, faults) if key else _flat(name, args, own, faults)
    load = _replaced(usual.load, args, faults)
    # A format without transparency has no use for a colour that has some.
    is_opaque = color.opaque(args.get("background")) is not None
    encode = _replaced(usual.encode, args if is_opaque else _without(args, "background"), faults)
    if all(fault.path != ("format",) for fault in faults):
        # This protocol has always taken a quality for any format.
        faults.extend(fault for fault in faults_of(encode) if fault.path != ("quality",))
    faults.raise_any()
    return Recipe(operations, encode, load)


def whole_arg_of(args: Mapping[str, object]) -> WholeArg:
    """The arg that holds all operations; empty if each has its own."""
    return "preset" if "preset" in args else "operations" if "operations" in args else ""


def _whole(
    key: str, name: str | None, args: Mapping[str, object], usual: Recipe, faults: Faults
) -> tuple[Operation, ...]:
    """Those of a list or of a preset, beside which no flat arg of an operation may stand."""
    for other in ("operations", *operation_args(name)):
        if other in args and other != key:
            note = ("expected ", FieldRef((key,)), " or it, not both")
            faults.append(Fault("field_invalid", (other,), note))
    if "operations" not in args:
        return usual.operations
    return faults.attempt(("operations",), parse_operations, args["operations"]) or ()


def _flat(name: str | None, args: Mapping[str, object], own: Own, faults: Faults) -> tuple[Operation, ...]:
    asked = args.keys() | {owner for part, owner in PARTS.items() if part in args}
    before = [faults.attempt((), _operation, arg, BEFORE[arg], args, own) for arg in BEFORE if arg in asked]
    main = faults.attempt((), _main, name, args, own) if name else None
    is_sized = not args.keys().isdisjoint(("width", "height", "scale"))
    if name and not is_sized and all(fault.code != "size_missing" for fault in faults):
        width, height = FieldRef(("width",)), FieldRef(("height",))
        faults.append(Fault("size_missing", width.path, (f"{name} needs ", width, ", ", height, " or both")))
    after = [faults.attempt((), _operation, arg, AFTER[arg], args, own) for arg in AFTER if arg in asked]
    return tuple(operation for operation in _in_order(name, [main], before, after) if operation is not None)


def _main(name: str, args: Mapping[str, object], own: Own) -> Operation:
    """The resize or rasterize. Raises RequestInvalid."""
    known = fields_of(OPERATIONS[name])
    fields = {field: args[field] for field in known if field in args and field != "background"}
    if name == "resize":
        if "if_small" in args and "enlarge" in args:
            note = ("contradicts ", FieldRef(("if_small",)), "; give one of the two")
            raise RequestInvalid(Fault("field_invalid", ("enlarge",), note))
        fields.setdefault("if_small", "enlarge" if own.enlarge else "refuse")
    # Only contain leaves space around the picture.
    if "background" in known and args.get("fit") == "contain" and own.background is not None:
        fields["background"] = own.background
    return parse_operation({"operation": name, **fields})


def _operation(arg: str, row: Arg, args: Mapping[str, object], own: Own) -> Operation | None:
    """The operation of a flat arg; None for a switch that is off. Raises RequestInvalid."""
    parts = {part: args[part] for part, owner in PARTS.items() if owner == arg and part in args}
    if parts:
        if arg in args:
            note = ("contradicts ", FieldRef((next(iter(parts)),)), "; give one of the two")
            raise RequestInvalid(Fault("field_invalid", (arg,), note))
        return parse_operation({"operation": row.operation, **parts})
    value = args[arg]
    if row.is_switch and value is False:
        return None
    fields = _fields(arg, row, value)
    if row.has_space and own.background is not None:
        fields = {"background": own.background, **fields}
    try:
        return parse_operation({**fields, "operation": row.operation})
    except RequestInvalid as invalid:
        raise RequestInvalid(*_of_arg(invalid, arg, is_value=not isinstance(value, dict))) from None


def _fields(arg: str, row: Arg, value: object) -> dict[str, object]:
    """The fields that the value of a flat arg stands for. Raises RequestInvalid."""
    if isinstance(value, dict):
        if "operation" in value:
            raise RequestInvalid(Fault("field_unknown", (arg, "operation"), "unknown: the arg names the operation"))
        return value
    if row.is_switch and isinstance(value, bool):
        return {}
    if not row.value:
        expected = "true, false or an object" if row.is_switch else "an object"
        raise RequestInvalid(Fault("field_invalid", (arg,), expected=expected, got=value))
    if row.is_name and not (isinstance(value, str) and "/" not in value):
        expected = 'the name of a picture of the settings, or an object such as {"image": URL}'
        raise RequestInvalid(Fault("field_invalid", (arg,), expected=expected, got=value))
    return dict.fromkeys(row.value, {"name": value} if row.is_name else value)


def _of_arg(invalid: RequestInvalid, arg: str, *, is_value: bool) -> tuple[Fault, ...]:
    """The faults of an operation as those of its arg. One value is at fault once, for whichever fields it stands."""
    if not is_value:
        return invalid.beneath((arg,)).faults
    faults = (msgspec.structs.replace(fault, path=(arg,)) for fault in invalid.faults)
    return tuple({(fault.code, fault.expected, fault.reason()): fault for fault in faults}.values())


def _replaced(usual: S, args: Mapping[str, object], faults: Faults) -> S:
    """``usual`` with the valid ones of those args in place of its fields that are called like them."""
    fields: dict[str, Any] = read_fields(args, type(usual), faults)
    return msgspec.structs.replace(usual, **fields)


def _without(args: Mapping[str, object], name: str) -> dict[str, object]:
    return {other: value for other, value in args.items() if other != name}
