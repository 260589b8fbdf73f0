"""``POST /v1/render``: a picture and a recipe in, the finished picture out. A raw ASGI handler: bodies are streamed."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from imgserve.api import negotiate, openapi
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.http.hangup import while_connected
from imgserve.api.http.sending import send_blob
from imgserve.api.openapi import Call, Parameter
from imgserve.api.presets import Presets
from imgserve.api.query import query_of
from imgserve.api.v1.picture_body import SOURCE_SCHEMA, PictureBody, answered, bodies_of
from imgserve.engine.ondemand import OnDemand, Picture
from imgserve.errors import Path
from imgserve.request.encode import Encode, Format
from imgserve.request.faults import Fault, RequestInvalid, beneath
from imgserve.request.json_text import ParseError, read_object
from imgserve.request.native import OPERATIONS, parse_recipe
from imgserve.request.native_source import AnySource
from imgserve.request.picture import parse_render
from imgserve.request.principal import Principal
from imgserve.request.recipe import MAX_OPERATIONS, MEDIA_TYPE, LoadOptions, Recipe

MOST_RECIPE_BYTES = 8_192
# Queries whose recipe is kept, since most clients ask for the same few again and again: each takes some kilobytes.
_MOST_KEPT, _LONGEST_KEPT = 128, 2_000
_IN_JSON = "stands in the JSON here; in the query it is for a body that is the picture"


_RECIPE_PROPERTIES: openapi.Schema = {
    "preset": {"type": "string", "description": "the name of a preset, in place of operations"},
    "operations": {
        "type": "array",
        "maxItems": MAX_OPERATIONS,
        "items": {"oneOf": [openapi.reference(operation) for operation in OPERATIONS.values()]},
    },
    "load": openapi.reference(LoadOptions),
    "encode": openapi.reference(Encode),
}
_RENDER_SCHEMA: openapi.Schema = {
    "type": "object",
    "required": ["source"],
    "additionalProperties": False,
    "properties": {"source": SOURCE_SCHEMA, **_RECIPE_PROPERTIES},
}
CALL = Call(
    "POST",
    "/v1/render",
    "render",
    "Render a picture. The body is the picture, with `recipe` or `preset` in the query; or JSON with a source beside a"
    " recipe; or a form with this JSON in its first part, `job`, and then the picture. Nothing is stored. Where the"
    " recipe names no format, the Accept header decides.",
    {media_type: openapi.BINARY for media_type in MEDIA_TYPE.values()},
    (400, 401, 403, 406, 408, 413, 415, 422, 429, 502, 503, 504),
    (
        Parameter("recipe", "JSON of a recipe, at most 8 KB; for a body that is the picture", {"type": "string"}),
        Parameter("preset", "the name of a preset; for a body that is the picture", {"type": "string"}),
    ),
    bodies_of(_RENDER_SCHEMA),
    (*OPERATIONS.values(), LoadOptions, Encode),
    {"Server-Timing": "milliseconds: fetch, wait, render", "Vary": "Accept"},
)


class Render:
    """``order`` is the setting ``negotiate``."""

    def __init__(self, on_demand: OnDemand, presets: Presets, order: Sequence[Format], most_bytes: int) -> None:
        self._on_demand = on_demand
        self._presets = presets
        self._order = order
        self._most_bytes = most_bytes
        self._kept: dict[bytes, tuple[Recipe, Path]] = {}
        self._kept_of: Mapping[str, Recipe] = presets.recipes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answered(scope, send, self._answer(scope, receive, send))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._on_demand.check_open()
        principal: Principal = scope["principal"]
        body = PictureBody(scope, receive, self._most_bytes)
        source, recipe, place = await self._asked(body, scope)
        with beneath(*place):
            self._on_demand.check(recipe, principal)
        accept = negotiate.read_accept(value for name, value in scope["headers"] if name == b"accept")
        if recipe.encode.format is None:
            negotiate.check(accept, self._order)
            named = msgspec.structs.replace(recipe.encode, format=negotiate.best(accept, self._order))
            recipe = msgspec.structs.replace(recipe, encode=named)
        choose = partial(negotiate.choose, accept, self._order)
        async with contextlib.AsyncExitStack() as held:
            async with while_connected(body.on_gone):
                fetch = await held.enter_async_context(body.opened(source, self._on_demand, principal))
                with beneath(*place):
                    picture = await self._on_demand.picture(fetch, recipe, choose, principal)
            with picture.blob:
                fetch.close()  # a client that reads slowly must not keep the source's memory
                await _send(picture, scope, send)

    async def _asked(self, body: PictureBody, scope: Scope) -> tuple[AnySource | None, Recipe, Path]:
        """Source, recipe and the recipe's path. All faults of the text, before the picture is read."""
        if body.kind == "picture":
            return None, *self._asked_in_query(scope)
        query_of(scope, dict.fromkeys(("preset", "recipe"), _IN_JSON))
        presets, has_parts = self._presets, body.kind == "multipart"
        request = await body.job(
            partial(parse_render, presets=presets.recipes, presets_only=presets.is_only, has_parts=has_parts)
        )
        return request.source, request.recipe, ()

    def _asked_in_query(self, scope: Scope) -> tuple[Recipe, Path]:
        text = scope["query_string"]
        if self._kept_of is not self._presets.recipes or len(self._kept) >= _MOST_KEPT:
            self._kept, self._kept_of = {}, self._presets.recipes
        asked = self._kept.get(text)
        if asked is None:
            query = query_of(scope, {"preset": "", "recipe": ""})
            asked = self._recipe_in(query), ("query", "recipe") if "recipe" in query else ()
            if len(text) <= _LONGEST_KEPT:
                self._kept[text] = asked
        return asked

    def _recipe_in(self, query: Mapping[str, str]) -> Recipe:
        if query.keys() == {"preset", "recipe"}:
            raise RequestInvalid(Fault("field_invalid", ("query",), "expected preset or recipe, not both"))
        if "preset" in query:
            with beneath("query"):
                return parse_recipe({"preset": query["preset"]}, self._presets.recipes)
        text = query.get("recipe", "{}").encode()
        with beneath("query", "recipe"):
            if len(text) > MOST_RECIPE_BYTES:
                raise RequestInvalid(Fault("field_invalid", note=f"expected at most {MOST_RECIPE_BYTES:,} bytes"))
            try:
                recipe = read_object(text, "it")
            except ParseError as error:
                raise RequestInvalid(Fault("field_invalid", note=str(error))) from None
            return parse_recipe(recipe, self._presets.recipes, presets_only=self._presets.is_only)


async def _send(picture: Picture, scope: Scope, send: Send) -> None:
    spent = (("fetch", picture.fetch_s), ("wait", picture.wait_s), ("render", picture.render_s))
    timing = ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in spent)
    if picture.encodes > 1:
        timing += f';desc="{picture.encodes} encodes"'
    headers = [
        (b"content-type", MEDIA_TYPE[picture.format].encode()),
        (b"content-length", str(picture.blob.size).encode()),
        (b"server-timing", timing.encode()),
        (b"vary", b"Accept"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send_blob(picture.blob, scope, send)
