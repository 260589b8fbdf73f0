"""The native API's description (OpenAPI 3.1), made from the calls' own declarations and Structs.

Each handler's module declares its ``Call``s; ``v1/describe`` serves the document.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from imgserve.api.control_socket import Problem
from imgserve.api.http.asgi import NO_CONTENT
from imgserve.api.routes import Route

Schema = dict[str, Any]
Shape = type[msgspec.Struct] | tuple[type[msgspec.Struct], ...] | Schema
VERSION = "1"  # the API's: that of the server is for its principals
PROBLEM_TYPE = "application/problem+json"
BINARY: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}
_REF = "#/components/schemas/{name}"
_RETRYING = frozenset({429, 503})


class Parameter(msgspec.Struct, frozen=True):
    name: str
    doc: str
    schema: Mapping[str, Any]
    is_required: bool = False
    place: str = "query"


class Call(msgspec.Struct, frozen=True):
    """One call. Bodies are by media type: a Struct, one of several, or a schema, whose references are names of Structs
    of ``uses``.

    ``errors`` are the statuses of its problems, ``statuses`` those of its answers. Structs of ``uses`` are parts of
    requests, those of ``shows`` of answers.
    """

    method: str
    path: str
    name: str
    doc: str
    answers: Mapping[str, Shape]
    errors: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    bodies: Mapping[str, Shape] = {}
    uses: tuple[type[msgspec.Struct], ...] = ()
    headers: Mapping[str, str] = {}
    statuses: tuple[int, ...] = (200,)
    is_body_optional: bool = False
    shows: tuple[type[msgspec.Struct], ...] = ()


class Message(msgspec.Struct, frozen=True):
    """What the server posts to others."""

    name: str
    doc: str
    body: type[msgspec.Struct]


def reference(struct: type[msgspec.Struct]) -> Schema:
    return {"$ref": _REF.format(name=struct.__name__)}


def document(calls: Sequence[Call], rows: Iterable[Route], messages: Sequence[Message] = ()) -> Schema:
    """``rows`` have the right that each call needs."""
    rights = {(row.method, row.path): row.right for row in rows}
    shown = (*_of_answers(calls), *(message.body for message in messages))
    schemas = _schemas(shown) | _without_null(_schemas(struct for call in calls for struct in call.uses))
    paths: dict[str, Schema] = {}
    for call in calls:
        is_open = rights[call.method, call.path] == "open"
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, is_open=is_open)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "imgserve",
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "webhooks": {message.name: {"post": _post(message)} for message in messages},
        "components": {
            "schemas": {name: _tidied(schema) for name, schema in sorted(schemas.items())},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


def _of_answers(calls: Iterable[Call]) -> Iterator[type[msgspec.Struct]]:
    """The Structs of answers."""
    yield Problem
    yield from (struct for call in calls for struct in call.shows)
    for shape in (shape for call in calls for shape in call.answers.values() if not isinstance(shape, dict)):
        yield from (shape,) if isinstance(shape, type) else shape


def _schemas(structs: Iterable[type[msgspec.Struct]]) -> dict[str, Schema]:
    """Those of these Structs, and of all that they hold."""
    _, schemas = msgspec.json.schema_components(dict.fromkeys(structs), ref_template=_REF)
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            if "anyOf" in field:  # a field that declares the forms of its values, beside the Struct that holds them
                field.pop("$ref", None)
            if "oneOf" in field:  # as above; msgspec has anyOf for itself where there are several Structs or types
                field.pop("anyOf", None)
    return schemas


def _operation(call: Call, *, is_open: bool) -> Schema:
    shown = {name: {"description": doc, "schema": {"type": "string"}} for name, doc in _headers(call).items()}
    content = _content(call.answers)
    successes = {
        str(status): {
            "description": HTTPStatus(status).phrase, "headers": shown,
            **({} if status == NO_CONTENT else {"content": content}),
        }
        for status in call.statuses
    }  # fmt: skip
    operation: Schema = {
        "operationId": call.name,
        "summary": call.doc.split(". ")[0].rstrip("."),
        "description": call.doc,
        "responses": {**successes, **{str(status): _refusal(status) for status in (*call.errors, 500)}},
    }
    if call.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in call.parameters]
    if call.bodies:
        operation["requestBody"] = {"required": not call.is_body_optional, "content": _content(call.bodies)}
    if is_open:
        operation["security"] = []
    return operation


def _post(message: Message) -> Schema:
    return {
        "summary": message.doc.split(". ")[0].rstrip("."),
        "description": message.doc,
        "requestBody": {"required": True, "content": _content({"application/json": message.body})},
        "responses": {"2XX": {"description": "the receiver has it; another status, and it is sent again"}},
        "security": [],
    }


def _headers(call: Call) -> dict[str, str]:
    return {
        **call.headers,
        "X-Request-Id": "the request's own, or a new one; the log's lines about the request have it",
    }


def _content(bodies: Mapping[str, Shape]) -> Schema:
    return {media_type: {"schema": _schema_of(shape)} for media_type, shape in bodies.items()}


def _schema_of(shape: Shape) -> Schema:
    if isinstance(shape, dict):
        return shape
    return reference(shape) if isinstance(shape, type) else {"anyOf": [reference(struct) for struct in shape]}


def _parameter(parameter: Parameter) -> Schema:
    return {
        "name": parameter.name, "in": parameter.place, "description": parameter.doc,
        "required": parameter.is_required, "schema": dict(parameter.schema),
    }  # fmt: skip


def _refusal(status: int) -> Schema:
    refusal: Schema = {
        "description": HTTPStatus(status).phrase,
        "content": {PROBLEM_TYPE: {"schema": reference(Problem)}},
    }
    if status in _RETRYING:
        refusal["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return refusal


def _without_null(schema: Any) -> Any:
    """A field of a request is given or left out, never null."""
    if isinstance(schema, list):
        return [_without_null(one) for one in schema if one != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _without_null(value) for name, value in schema.items() if not (name == "default" and value is None)}
    if len(kept.get("anyOf", ())) == 1:
        (only,) = kept.pop("anyOf")
        return {**only, **kept}
    return kept


def _tidied(schema: Schema) -> Schema:
    """The docstring's lines as one text."""
    text = re.sub(r"``?([^`]+)``?", r"`\1`", schema.get("description", ""))
    return {**schema, **({"description": re.sub(r"\s*\n\s*", " ", text)} if text else {})}
