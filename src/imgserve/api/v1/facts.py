"""``GET /v1/info?url=`` and ``POST /v1/info``: what a picture's header says. Raw ASGI handlers, as ``render``."""

from collections.abc import Mapping
from functools import partial
from typing import get_args

import msgspec

from imgserve.api import openapi
from imgserve.api.http import asgi
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.http.hangup import while_connected
from imgserve.api.openapi import Call, Parameter
from imgserve.api.query import query_of, words_of
from imgserve.api.v1.picture_body import SOURCE_SCHEMA, PictureBody, answered, bodies_of
from imgserve.engine.ondemand import Facts, OnDemand
from imgserve.imaging.messages import Dominant, ExifValue, Include, Position
from imgserve.request.faults import beneath
from imgserve.request.imageinfo import SourceFormat
from imgserve.request.picture import parse_info
from imgserve.request.principal import Principal
from imgserve.request.source import Source, parse_source

_URL = ("query", "url")
_INCLUDES: tuple[Include, ...] = get_args(Include)


class PictureInfo(msgspec.Struct, frozen=True):
    """``width`` and ``height`` are pixels as a viewer shows them, after ``orientation``, which is EXIF's number; those
    of an SVG may be fractions. ``size_bytes`` is null while the length of a source is not known. The rest is there if
    it is included. ``thumbhash`` is in base64. ``colors``: the dominant ones, the most frequent first. ``exif``: fields
    by their names, none of which tells a place. ``position`` is null for a picture without one.
    """

    format: SourceFormat
    width: int | float
    height: int | float
    frames: int
    orientation: int
    has_alpha: bool
    size_bytes: int | None
    thumbhash: bytes | msgspec.UnsetType = msgspec.UNSET
    blurhash: str | msgspec.UnsetType = msgspec.UNSET
    colors: tuple[Dominant, ...] | msgspec.UnsetType = msgspec.UNSET
    exif: dict[str, ExifValue] | msgspec.UnsetType = msgspec.UNSET
    position: Position | msgspec.UnsetType | None = msgspec.UNSET

    @classmethod
    def of(cls, facts: Facts, include: frozenset[Include]) -> "PictureInfo":
        info, inspected = facts.info, facts.inspected
        width, height = (int(side) if side == int(side) else side for side in (info.width_px, info.height_px))
        included = {name: getattr(inspected, name) for name in include}
        return cls(
            info.format, width, height, info.frames, info.orientation, info.has_alpha, facts.size_bytes, **included
        )


_ERRORS = (401, 422, 429, 502, 503, 504)
_INCLUDE = Parameter(
    "include",
    f"further facts, separated by commas, for which the picture is decoded: {', '.join(_INCLUDES)}",
    {"type": "string"},
)
_INFO_SCHEMA: openapi.Schema = {
    "type": "object",
    "required": ["source"],
    "additionalProperties": False,
    "properties": {"source": SOURCE_SCHEMA},
}
CALLS = (
    Call(
        "GET",
        "/v1/info",
        "info_by_url",
        "Facts of a picture, by its URL. Only as much of it is fetched as is needed.",
        {"application/json": PictureInfo},
        _ERRORS,
        (Parameter("url", "of the picture", {"type": "string"}, is_required=True), _INCLUDE),
    ),
    Call(
        "POST",
        "/v1/info",
        "info",
        "Facts of a picture that is the body, a part of a form, or at a source.",
        {"application/json": PictureInfo},
        (400, 408, 413, 415, *_ERRORS),
        (_INCLUDE,),
        bodies_of(_INFO_SCHEMA),
    ),
)


class Info:
    def __init__(self, on_demand: OnDemand, most_bytes: int) -> None:
        self._on_demand = on_demand
        self._most_bytes = most_bytes

    async def get(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await answered(scope, send, self._of_url(scope, send), _URL)

    async def post(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answered(scope, send, self._of_body(scope, receive, send))

    async def _of_url(self, scope: Scope, send: Send) -> None:
        self._on_demand.check_open()
        query = query_of(scope, {"url": "", "include": ""})
        include = _included(query)
        with beneath(*_URL):
            source = parse_source(query.get("url", ""))
        principal: Principal = scope["principal"]
        async with while_connected(scope["on_gone"]), self._on_demand.slot(principal, source):
            with beneath(*_URL):
                fetch = self._on_demand.open(source, principal)
            with fetch:
                facts = await self._on_demand.facts(fetch, principal, include)
        await asgi.answer_json(send, PictureInfo.of(facts, include))

    async def _of_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._on_demand.check_open()
        body = PictureBody(scope, receive, self._most_bytes)
        include = _included(query_of(scope, {"include": ""}))
        source = None
        if body.kind != "picture":
            source = await body.job(partial(parse_info, has_parts=body.kind == "multipart"))
        principal: Principal = scope["principal"]
        async with while_connected(body.on_gone), body.opened(source, self._on_demand, principal) as fetch:
            facts = await self._on_demand.facts(fetch, principal, include, is_whole=not isinstance(source, Source))
        await asgi.answer_json(send, PictureInfo.of(facts, include))


def _included(query: Mapping[str, str]) -> frozenset[Include]:
    """Raises RequestInvalid."""
    with beneath("query", "include"):
        return frozenset(words_of(query.get("include", ""), _INCLUDES))
