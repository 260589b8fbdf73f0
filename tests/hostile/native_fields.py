"""The fields of the native API, read from its description, so that a new one is tried as soon as it is there."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Schema = Mapping[str, Any]
Place = tuple[str, ...]
"""A field of a body: names, ``[]`` or ``[operation]`` for an item of a list, ``{name}`` and ``{value}`` of an object of
texts, and ``no such`` for a name that the object above does not have."""

GIVEN = "X-Given"
"""The name beside a ``{value}``."""
_TEXT = {"{name}": "x"}


class Parameter(msgspec.Struct, frozen=True):
    method: str
    path: str
    place: str
    name: str


def fields_in(document: Any, struct: str) -> list[Place]:
    """All fields of a body, each once."""
    return list(dict.fromkeys(_fields(document["components"]["schemas"], {"$ref": struct}, ())))


def _fields(schemas: Mapping[str, Schema], schema: Schema, at: Place) -> Iterator[Place]:
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if forms := schema.get("anyOf") or schema.get("oneOf"):
        for form in forms:
            yield from _fields(schemas, form, at)
    elif schema.get("type") == "object":
        yield from _fields_of_object(schemas, schema, at)
    elif schema.get("type") == "array":
        items = [*schema.get("prefixItems", ()), *([schema["items"]] if schema.get("items") else ())]
        for item in items:
            yield from _fields(schemas, item, (*at, "[]"))
    else:
        yield at


def _fields_of_object(schemas: Mapping[str, Schema], schema: Schema, at: Place) -> Iterator[Place]:
    fields = dict(schema.get("properties", {}))
    if at[-1:] == ("[]",) and "operation" in fields:
        yield (*at, "operation")
        at = (*at[:-1], f"[{fields.pop('operation')['enum'][0]}]")
    for name, field in fields.items():
        yield from _fields(schemas, field, (*at, name))
    others = schema.get("additionalProperties", True)
    if others is False:
        yield (*at, "no such")
    elif isinstance(others, Mapping):
        yield (*at, "{name}")
        yield from _fields(schemas, others, (*at, "{value}"))


def placed(place: Place, value: object) -> Any:
    """The body, or the part of one, in which the field has this value."""
    if not place:
        return value
    first, rest = place[0], place[1:]
    if first == "no such":
        return {value: 1}
    if first == "{name}":
        return {value: "x"}
    inner = placed(rest, value)
    if first == "[]":
        return [inner]
    if first.startswith("["):
        return [{"operation": first[1:-1], **inner}]
    return {GIVEN if first == "{value}" else first: inner}


def path_of(place: Place) -> str:
    """As a fault says it. Of a name that is at fault it is the path of the object."""
    names = [GIVEN if name == "{value}" else name for name in place if name not in ("no such", "{name}")]
    return "".join("[0]" if name.startswith("[") else f".{name}" for name in names).removeprefix(".")


def parameters_in(document: Any) -> list[Parameter]:
    return [
        Parameter(method.upper(), path, one["in"], one["name"])
        for path, calls in document["paths"].items()
        for method, call in calls.items()
        for one in call.get("parameters", ())
    ]
