"""The API's description: every call of the native API is in it, what it says is true, and so is its page."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from imgserve.api.config import Config
from imgserve.api.routes import table
from tests.service.conftest import World
from tests.support.ondemand import call


@pytest.fixture(scope="module")
def document(world: World) -> Any:
    reply = call(world.server, None, {}, "/v1/openapi.json", "GET")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    return json.loads(reply.body)


def test_every_call_of_the_native_api_is_described(document: Any) -> None:
    described = {(method.upper(), path) for path, calls in document["paths"].items() for method in calls}
    rows = {(row.method, row.path): row for row in table(Config())}
    native = {route for route, row in rows.items() if row.path.startswith("/v1/") and row.right != "local"}
    assert described == native
    for path, calls in document["paths"].items():
        for method, operation in calls.items():
            is_open = rows[method.upper(), path].right == "open"
            assert operation.get("security", document["security"]) == ([] if is_open else [{"key": []}])


def test_every_reference_leads_to_a_schema(document: Any) -> None:
    schemas = document["components"]["schemas"]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(schemas)
    assert {"Resize", "Rasterize", "Encode", "LoadOptions", "Problem", "PictureInfo"} <= set(schemas)


def test_the_body_of_a_webhook_is_described(document: Any) -> None:
    [message] = document["webhooks"].values()
    reference = message["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    body = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert set(body["required"]) == {"type", "timestamp", "data"}
    assert "job.succeeded" in body["properties"]["type"]["enum"]


def test_a_further_picture_is_a_url_or_an_object(document: Any) -> None:
    image = document["components"]["schemas"]["Composite"]["properties"]["image"]
    assert [form["type"] for form in image["anyOf"]] == ["string", "object", "object"]
    assert "$ref" not in image


def test_the_fields_of_a_request_are_never_null(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Resize"]["properties"]["width"]["type"] == "integer"
    assert "default" not in schemas["Resize"]["properties"]["width"]
    assert {"type": "null"} in schemas["PictureInfo"]["properties"]["size_bytes"]["anyOf"]


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: set[str] = set()
        self.ids: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.add(tag)
        self.targets |= {value for name in ("href", "src") if (value := named.get(name)) is not None}
        self.ids |= {value} if (value := named.get("id")) is not None else set()

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_from_elsewhere(world: World, document: Any) -> None:
    reply = call(world.server, None, {}, "/v1/docs", "GET")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Page(reply.body.decode())
    assert page.tags.isdisjoint({"script", "link", "img", "iframe"})
    assert {target.removeprefix("#") for target in page.targets - {"openapi.json"}} <= page.ids
    for path, calls in document["paths"].items():
        assert all(f"{method.upper()} {path}" in page.text for method in calls)
    assert "whole number" not in page.text
    assert "if_small" in page.text
