"""The three ways in which a request of ``/v1/render`` and ``/v1/info`` brings its picture: JSON with a source,
multipart/form-data with that JSON as its first part, or the picture itself as the body.

In: the ASGI request. Out: what is asked, and a ``Fetch`` of the picture while it comes.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Literal, TypeVar

import msgspec

from imgserve.api import problems
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.http.body import Incoming, length_in
from imgserve.api.http.hangup import ClientGone, OnGone
from imgserve.api.http.parts import media_type_in
from imgserve.api.openapi import BINARY, Schema, reference
from imgserve.api.parsing import parsed
from imgserve.api.routes import CALL_BYTES
from imgserve.api.v1.form import JOB, Form, form_schema, whole
from imgserve.api.v1.json_body import MediaTypeUnsupported, check_plain, object_in
from imgserve.engine.ondemand import OnDemand, Pour, Take, by_chunks
from imgserve.errors import ImgserveError, Path
from imgserve.imaging.faults import RenderTimeout
from imgserve.request.faults import beneath
from imgserve.request.native_source import UPLOAD_SCHEMA, AnySource, SourceBody
from imgserve.request.principal import Principal
from imgserve.request.sent import Inline, Upload
from imgserve.request.source import Source
from imgserve.telemetry import logs
from imgserve.transfer.faults import SourceNotFound, SourceUnavailable
from imgserve.transfer.fetch import Fetch

Kind = Literal["json", "multipart", "picture"]
T = TypeVar("T")


SOURCE_SCHEMA: Schema = {
    "description": "a URL, a `data:` URL, or in a form the name of the part that is the picture",
    "anyOf": [{"type": "string"}, reference(SourceBody), UPLOAD_SCHEMA],
}


def bodies_of(job: Schema) -> Mapping[str, Schema]:
    """The three ways in, for the API's description."""
    return {
        "application/json": job,
        "multipart/form-data": form_schema(job),
        "image/*": BINARY,
        "application/octet-stream": BINARY,
    }


class PictureBody:
    """One request. ``kind`` is by its Content-Type; ``most_bytes`` is the limit of one picture."""

    def __init__(self, scope: Scope, receive: Receive, most_bytes: int) -> None:
        """Raises MediaTypeUnsupported, BodyTooLarge."""
        self._most_bytes = most_bytes
        headers: dict[bytes, bytes] = dict(scope["headers"])
        self._length = length_in(headers)
        media_type, self._boundary = media_type_in(headers)
        check_plain(headers)
        self.kind = _kind_of(media_type)
        limits = scope["route"].body
        if self.kind == "json":
            limits = msgspec.structs.replace(limits, max_bytes=CALL_BYTES)
        elif self.kind == "picture":
            limits = msgspec.structs.replace(limits, max_bytes=most_bytes)
        limits.check_size(self._length or 0)
        self._incoming = Incoming(receive, limits, scope.get("pour"))
        self._form: Form | None = None
        self._is_read = False
        self._on_gone: OnGone = scope["on_gone"]
        self._has_come: Callable[[], bool] = scope.get("has_come", bool)

    async def job(self, parse: Callable[[dict[str, object]], T]) -> T:
        """The JSON, of the body or of the first part, as ``parse`` reads it.

        Raises BodyInvalid, JobPartNotFirst, and as ``Incoming.next`` and ``parse`` do.
        """
        if self.kind == "json":
            text = await whole(self._incoming.next)
            self._is_read = True
            return await parsed(text, _read, "the body", parse)
        self._form = Form(self._incoming, self._boundary, self._most_bytes)
        return await parsed(await self._form.job(), _read, f"the part {JOB}", parse)

    @contextlib.asynccontextmanager
    async def opened(self, source: AnySource | None, on_demand: OnDemand, principal: Principal) -> AsyncIterator[Fetch]:
        """The picture while it comes, in a slot of its own. ``source`` None: the body is the picture.

        One that came inside the JSON is in memory already, so it waits for no slot.

        Raises RequestInvalid, and as ``OnDemand.slot`` does.
        """
        fetched = source if isinstance(source, Source) else None
        async with on_demand.slot(principal, fetched, may_wait=not isinstance(source, Inline)):
            if self._form is not None and not isinstance(source, Upload):
                await self._form.end()
                self._is_read = True
            with beneath("source"):
                if isinstance(source, Source):
                    fetch = on_demand.open(source, principal)
                else:
                    fetch = await self._received(source, on_demand, principal)
            with fetch:
                yield fetch

    def on_gone(self, callback: Callable[[], object]) -> Callable[[], object]:
        """As that of the scope, for a client that hangs up after its request: the reader notices one before that."""
        return self._on_gone(lambda: callback() if self._is_read else None)

    async def _received(self, source: Upload | Inline | None, on_demand: OnDemand, principal: Principal) -> Fetch:
        if isinstance(source, Inline):
            return on_demand.received(source.data)
        if isinstance(source, Upload):
            assert self._form is not None, "a part is expected in a multipart body only"
            pour = by_chunks(self._form.picture(source.part))
            return on_demand.receive(self._noting_end(pour), self._length, principal)
        if self._has_come():
            self._is_read = True
            return on_demand.received(await self._incoming.next())
        return on_demand.receive(self._noting_end(self._incoming.into), self._length, principal)

    def _noting_end(self, pour: Pour) -> Pour:
        async def noting(take: Take) -> None:
            await pour(take)
            self._is_read = True

        return noting


async def answered(scope: Scope, send: Send, answer: Awaitable[None], source: Path = problems.SOURCE) -> None:
    """Await ``answer``. Its error becomes the response, unless the client has gone. ``source``: the field with it."""
    with contextlib.suppress(ClientGone):
        try:
            await answer
        except ImgserveError as error:
            logs.event("refused", code=error.code)
            await problems.answer(error, scope, send, status=_status_of(error), source=source)


def _status_of(error: ImgserveError) -> int:
    """To a client that waits, a source's host is a gateway, and a deadline a time-out. A wrong URL is its own fault."""
    if isinstance(error, SourceUnavailable) and not isinstance(error, SourceNotFound):
        return 504 if error.is_late else 502
    return 504 if isinstance(error, RenderTimeout) else error.status


def _kind_of(media_type: str) -> Kind:
    if media_type == "application/json":
        return "json"
    if media_type == "multipart/form-data":
        return "multipart"
    if media_type.startswith("image/") or media_type == "application/octet-stream":
        return "picture"
    raise MediaTypeUnsupported(
        "the Content-Type is none that is read here",
        "send application/json, multipart/form-data, or the picture as image/… or application/octet-stream",
    )


def _read(text: bytes, thing: str, parse: Callable[[dict[str, object]], T]) -> T:
    return parse(object_in(text, thing))
