"""The page of the API's description: the document of ``openapi`` in, HTML out.

It has no script and the style of the server's own page, so that it needs no exception from the strict headers.
"""

import re
from collections.abc import Sequence
from html import escape

from imgserve.api.http.headers import page
from imgserve.api.openapi import Schema


def html(described: Schema) -> str:
    """The document for people."""
    (style,) = re.findall(r"<style>.*?</style>", page(), re.DOTALL)
    calls = "".join(
        _call(method, path, operation)
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    )
    shapes = "".join(_shape(name, schema) for name, schema in described["components"]["schemas"].items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>imgserve: the API</title>{style}'
        f'<h1>The API</h1><p>As <a href="openapi.json">OpenAPI 3.1</a> for programs. Keys go into '
        f"<code>Authorization: Bearer</code>.</p>{calls}<h2>Objects</h2>{shapes}</html>"
    )


def _call(method: str, path: str, operation: Schema) -> str:
    parameters = [(one["name"], _words(one["schema"]), one["description"]) for one in operation.get("parameters", ())]
    bodies = [
        (media_type, _words(body["schema"]), "")
        for media_type, body in operation.get("requestBody", {}).get("content", {}).items()
    ]
    answers = [
        (status, ", ".join(answer.get("content", ())), answer["description"])
        for status, answer in operation["responses"].items()
    ]
    return (
        f"<h2>{method.upper()} {escape(path)}</h2><p>{_marked(operation['description'])}</p>"
        f"{_table('parameter', parameters)}{_table('body', bodies)}{_table('response', answers)}"
    )


def _shape(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    fields = [
        (field, _words(kind), kind.get("description", "") + (" (required)" if field in required else ""))
        for field, kind in schema.get("properties", {}).items()
    ]
    return f'<h3 id="{name}">{name}</h3><p>{_marked(schema.get("description", ""))}</p>{_table("field", fields)}'


def _table(title: str, rows: Sequence[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    lines = "".join(f"<tr><td><code>{escape(name)}</code><td>{words}<td>{_marked(doc)}" for name, words, doc in rows)
    return f"<table><tr><th>{title}<th>type<th>{lines}</table>"


def _words(schema: Schema) -> str:
    """A schema in a few words of HTML."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(map(_words, options)))
    if schema.get("type") == "array":
        return f"list of {_words(schema.get('items', {}))}"
    words = escape(str(schema.get("type", "any")))
    if "contentMediaType" in schema:
        return "bytes"
    if properties := schema.get("properties"):
        return ", ".join(f"<code>{escape(name)}</code>: {_words(kind)}" for name, kind in properties.items())
    if "minimum" in schema and "maximum" in schema:
        words += f" from {schema['minimum']:,} to {schema['maximum']:,}"
    return words


def _marked(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
