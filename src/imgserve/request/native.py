"""Recipes as JSON: ``{"load": {…}, "operations": [{"operation": "resize", …}], "encode": {…}}`` in, a ``Recipe`` out.

Presets, files of the command line, renders and the outputs of jobs have this one shape. ``dump_recipe`` writes it:
``parse_recipe(dump_recipe(recipe)) == recipe``. Paths of faults begin at the recipe.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeVar, cast, get_args

import msgspec

from imgserve.errors import FieldRef, ImgserveError
from imgserve.request.encode import faults_of
from imgserve.request.faults import Fault, Faults, RequestInvalid, beneath
from imgserve.request.fields import as_object, check_names, fields_of, read_fields, read_some
from imgserve.request.operations.composite import Composite
from imgserve.request.recipe import MAX_OPERATIONS, Operation, Recipe, check_operation
from imgserve.request.values import did_you_mean, one_of, read_list

S = TypeVar("S", bound=msgspec.Struct)


def name_of(operation: Operation | type[Operation]) -> str:
    return str(operation.__struct_config__.tag)


OPERATIONS: Mapping[str, type[Operation]] = {name_of(struct): struct for struct in get_args(Operation)}
"""Each operation's Struct by its name."""

# Their names are taken, so that a client can learn that a later version has them.
LATER = ("duotone", "mask", "text")
_OWN_FIELDS = ("load", "operations", "encode")
_FIELDS = (*_OWN_FIELDS, "preset")
_SCALARS = (str, int, float, type(None))
# Of texts that are repeated: most recipes have less than 200 characters.
_LONGEST_REMEMBERED = 1_000
_TAG = "operation"
_ENCODE_IN_ROWS = "output"
NO_PRESETS: Mapping[str, Recipe] = MappingProxyType({})


class PresetsOnly(ImgserveError):
    code = "presets_only"
    status = 403
    title = "Only presets are allowed"


def parse_recipe(
    value: object,
    presets: Mapping[str, Recipe] = NO_PRESETS,
    *,
    presets_only: bool = False,
    beside: Iterable[str] = (),
) -> Recipe:
    """The recipe of an object; its ``preset`` is replaced by that recipe. Raises RequestInvalid with all faults.

    ``beside``: fields of the object that are not the recipe's, which the caller reads. ``presets_only``: raises
    PresetsOnly for all but a preset.
    """
    fields, faults = as_object(value), Faults()
    if presets_only:
        check_presets_only(name for name in _FIELDS if name in fields)
    check_names(fields, (*_FIELDS, *beside), (), faults)
    spelling = None if faults or "preset" in fields else _spelling_of(fields)
    return _recipe_of(fields, presets, faults) if spelling is None else _remembered(spelling)


def _recipe_of(fields: Mapping[str, object], presets: Mapping[str, Recipe], faults: Faults) -> Recipe:
    """Raises RequestInvalid with ``faults`` and all others."""
    recipe = Recipe(())
    if "preset" in fields:
        recipe = faults.attempt(("preset",), find_preset, fields["preset"], presets) or recipe
    if "operations" in fields:
        if "preset" in fields:
            note = ("expected ", FieldRef(("preset",)), " or operations, not both")
            faults.append(Fault("field_invalid", ("operations",), note))
        operations = faults.attempt(("operations",), parse_operations, fields["operations"])
        recipe = msgspec.structs.replace(recipe, operations=operations or ())
    load = _replaced("load", recipe.load, fields, faults)
    encode = _replaced("encode", recipe.encode, fields, faults)
    if all(fault.path != ("encode", "format") for fault in faults):
        faults.extend(RequestInvalid(*faults_of(encode)).beneath(("encode",)).faults)
    faults.raise_any()
    return msgspec.structs.replace(recipe, load=load, encode=encode)


class _Spelling(str):
    """The text of ``fields``, by which equal ones are found."""

    fields: Mapping[str, object]


# A site asks for few recipes, in each of its jobs, and to read one takes four times as long.
@lru_cache(maxsize=256)
def _remembered(spelling: _Spelling) -> Recipe:
    return _recipe_of(spelling.fields, NO_PRESETS, Faults())


def _spelling_of(fields: Mapping[str, object]) -> _Spelling | None:
    """That of the recipe's own fields; None for a long recipe, or one of pictures, whose URLs may have logins."""
    own = {name: fields[name] for name in _OWN_FIELDS if name in fields}
    if not all(isinstance(value, _SCALARS) and name != "image" for name, value in _leaves(own)):
        return None
    spelling = _Spelling(repr(own))  # unlike JSON it tells infinity from null
    spelling.fields = own
    return spelling if len(spelling) <= _LONGEST_REMEMBERED else None


def _leaves(own: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The values in the objects of a recipe, and what stands in the place of such an object, by their names."""
    for name, value in own.items():
        is_short = name == "operations" and isinstance(value, list) and len(value) <= MAX_OPERATIONS
        for one in cast(list[object], value) if is_short else [value]:
            yield from one.items() if isinstance(one, dict) else ((name, one),)


def parse_operations(value: object) -> tuple[Operation, ...]:
    """The operations of a list. Raises RequestInvalid with paths from the list: ``[0].width``."""
    if not isinstance(value, list):
        raise RequestInvalid(Fault("field_invalid", expected="a list of operations", got=value))
    faults = Faults()
    if len(value) > MAX_OPERATIONS:
        note = f"expected at most {MAX_OPERATIONS} operations, got {len(value)}"
        faults.append(Fault("output_count", (), note))
    few = enumerate(value[:MAX_OPERATIONS])
    operations = faults.attempt((), read_list, few, lambda pair: parse_operation(pair[1], pair[0]))
    faults.raise_any()
    return tuple(operations or ())


def parse_operation(value: object, index: int = 0) -> Operation:
    """An operation at this place of a list. Raises RequestInvalid with paths from the operation."""
    fields = as_object(value)
    name = fields.get(_TAG)
    if name is None:
        raise RequestInvalid(Fault("field_missing", (_TAG,), f"expected {one_of(tuple(OPERATIONS))}"))
    if not isinstance(name, str) or name not in OPERATIONS:
        later = ", which is not available in this version yet" if name in LATER else ""
        hint = later or did_you_mean(name, tuple(OPERATIONS))
        raise RequestInvalid(Fault("field_invalid", (_TAG,), hint, one_of(tuple(OPERATIONS)), name))
    faults = Faults()
    operation = read_some(fields, OPERATIONS[name], faults)
    if operation is not None:
        faults.extend(_judgeable(_faults_together(operation, index, fields), fields, faults))
    faults.raise_any()
    assert operation is not None
    return operation


def _faults_together(operation: Operation, index: int, fields: Mapping[str, object]) -> Faults:
    """Those of fields beside each other, and of an operation at this place."""
    faults = Faults()
    faults.attempt((), check_operation, operation, index)
    for first, second in operation.exclusive:
        if {first, second} <= fields.keys() and all(fault.path != (first,) for fault in faults):
            note = ("contradicts ", FieldRef((second,)), "; give one of the two")
            faults.append(Fault("field_invalid", (first,), note))
    if isinstance(operation, Composite) and operation.image.url:
        faults.attempt((), _check_url, operation)
    return faults


def _judgeable(together: Faults, fields: Mapping[str, object], alone: Faults) -> list[Fault]:
    """Those ``together`` that remain whatever the fields at fault ``alone`` are mended to.

    A field that is unknown may be any of the missing ones, misspelt.
    """
    at_fault = {name for fault in alone for name in fault.path[:1]}
    is_misspelt = any(fault.code == "field_unknown" for fault in alone)
    judgeable = []
    for fault in together:
        paths = [fault.path, *(part.path for part in fault.note if isinstance(part, FieldRef))]
        names = {name for path in paths for name in path[:1]}
        if names.isdisjoint(at_fault) and (names <= fields.keys() or not is_misspelt):
            judgeable.append(fault)
    return judgeable


def dump_recipe(recipe: Recipe) -> dict[str, object]:
    """The recipe as ``parse_recipe`` reads it, without fields that have their default."""
    dumped: dict[str, object] = msgspec.json.decode(msgspec.json.encode(recipe))
    if _ENCODE_IN_ROWS in dumped:
        dumped["encode"] = dumped.pop(_ENCODE_IN_ROWS)
    return dumped


def check_presets_only(names: Iterable[str]) -> None:
    """``names``: those of a recipe's fields that a request has. Raises PresetsOnly."""
    if set(names) != {"preset"}:
        use = ("use ", FieldRef(("preset",)), ", and leave the rest of the recipe out")
        raise PresetsOnly("this server renders presets only", use)


def find_preset(name: object, presets: Mapping[str, Recipe]) -> Recipe:
    """Raises RequestInvalid."""
    if not isinstance(name, str) or name not in presets:
        hint = did_you_mean(name, tuple(presets)) or ("" if presets else "; this server has none")
        raise RequestInvalid(Fault("field_invalid", (), hint, "the name of a preset", name))
    return presets[name]


def _check_url(operation: Composite) -> None:
    """Raises RequestInvalid."""
    from imgserve.request.source import parse_source  # libcurl parses URLs, and few settings have any

    with beneath("image"):
        parse_source(operation.image.url)


def _replaced(name: str, usual: S, recipe: Mapping[str, object], faults: Faults) -> S:
    """``usual`` with the valid fields of that object of the recipe in place of its own; the others are ``faults``."""
    if name not in recipe:
        return usual
    fields, own = faults.attempt((name,), as_object, recipe[name]) or {}, Faults()
    check_names(fields, tuple(fields_of(type(usual))), (), own)
    checked: dict[str, Any] = read_fields(fields, type(usual), own)
    faults.extend(RequestInvalid(*own).beneath((name,)).faults)
    return msgspec.structs.replace(usual, **checked)
