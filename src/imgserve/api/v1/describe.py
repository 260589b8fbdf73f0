"""``GET /v1/openapi.json`` and ``/v1/docs``: what the native API is, for programs and for people. Open to all."""

import asyncio
import functools
from collections.abc import Callable, Sequence

import msgspec

from imgserve.api import openapi, openapi_page
from imgserve.api.http import asgi
from imgserve.api.http.asgi import App, Receive, Scope, Send
from imgserve.api.openapi import Call, Message
from imgserve.api.routes import Route
from imgserve.jobs.event_views import EventBody

JSON, HTML = b"application/json", b"text/html; charset=utf-8"
CALLS = (
    Call("GET", "/v1/openapi.json", "openapi", "This description, for programs.", {"application/json": {}}),
    Call("GET", "/v1/docs", "docs", "This description, for people.", {"text/html": {"type": "string"}}),
)
MESSAGES = (
    Message(
        "event",
        "The end of a job or an output, posted to the job's `webhook`. It is signed as Standard Webhooks describes, by"
        " `webhook-id`, `webhook-timestamp` and `webhook-signature`.",
        EventBody,
    ),
)


def description_apps(calls: Sequence[Call], rows: Sequence[Route]) -> dict[tuple[str, str], App]:
    """Both are made once, when somebody asks."""

    @functools.cache
    def document() -> openapi.Schema:
        return openapi.document((*calls, *CALLS), rows, MESSAGES)

    @functools.cache
    def as_json() -> bytes:
        return msgspec.json.encode(document())

    @functools.cache
    def as_html() -> bytes:
        return openapi_page.html(document()).encode()

    return {("GET", "/v1/openapi.json"): _serving(JSON, as_json), ("GET", "/v1/docs"): _serving(HTML, as_html)}


def _serving(media_type: bytes, text: Callable[[], bytes]) -> App:
    async def serve(_scope: Scope, _receive: Receive, send: Send) -> None:
        body = await asyncio.to_thread(text)  # the first time it takes some milliseconds
        await asgi.answer(send, 200, ((b"content-type", media_type),), body)

    return serve
