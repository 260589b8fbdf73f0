"""Errors of the native API as problem details (RFC 9457): every answer that is no success has this one shape."""

import re

import msgspec

from imgserve.api.control_socket import FieldFault, Problem
from imgserve.api.http import asgi
from imgserve.api.http.asgi import App, Receive, Scope, Send
from imgserve.errors import FieldRef, ImgserveError, Path, dotted, let_go, spell
from imgserve.request.faults import RequestInvalid
from imgserve.telemetry import logs

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
SOURCE: Path = ("source",)

# A path that could be one of ours; nothing else that a client sent is repeated.
_PATH = re.compile(r"[A-Za-z0-9/._-]{0,60}", re.ASCII)


class NoSuchPage(ImgserveError):
    code = "no_such_page"
    status = 404
    title = "There is no such page"

    def __init__(self, path: str) -> None:
        hint = "jobs are posted to /v1/jobs or /; docs/reference names all pages"
        super().__init__(f"there is no page {_shown(path)}", hint)


class MethodNotAllowed(ImgserveError):
    code = "method_not_allowed"
    status = 405
    title = "The method is not allowed here"

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{method} is not allowed at {_shown(path)}", f"expected another method: {allowed}")


def problem_of(error: ImgserveError, request_id: str, status: int | None = None, source: Path = SOURCE) -> Problem:
    """``status`` takes the place of the error's own; ``source`` is the field that names the source."""
    faults = error.faults if isinstance(error, RequestInvalid) else ()
    errors = tuple(FieldFault(dotted(FieldRef(fault.path)), fault.code, fault.reason()) for fault in faults)
    if not errors:
        errors = tuple(
            FieldFault(dotted(FieldRef(path)), each.code, each.detail)
            for each in (error, *error.others)
            if (path := each.path or (source if each.is_of_source else ()))
        )
    kind = f"urn:imgserve:problem:{error.code}"
    return Problem(
        kind, error.title, status or error.status, error.detail, error.code, spell(error.hint), error.is_retryable,
        request_id, errors,
    )  # fmt: skip


async def answer(
    error: ImgserveError,
    scope: Scope,
    send: Send,
    *headers: tuple[bytes, bytes],
    status: int | None = None,
    source: Path = SOURCE,
) -> None:
    """``status`` and ``source`` are as in ``problem_of``."""
    let_go(error)
    problem = problem_of(error, scope["request_id"], status, source)
    own = ((name.encode(), value.encode()) for name, value in _headers(error, problem.status).items())
    fields = ((b"content-type", CONTENT_TYPE.encode()), *own, *headers)
    await asgi.answer(send, problem.status, fields, msgspec.json.encode(problem))


def native(app: App) -> App:
    """``app``, whose errors become problems."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except ImgserveError as error:
            logs.event("refused", code=error.code)  # without its detail, which may repeat what was sent
            await answer(error, scope, send)

    return answering


async def deny(error: ImgserveError, scope: Scope, send: Send) -> None:
    await answer(error, scope, send)


def bug(error: Exception, path: str) -> ImgserveError:
    logs.bug("api_bug", error=error, path=path)
    return ImgserveError("a fault inside imgserve; its log has the details")


def _shown(path: str) -> str:
    return path if _PATH.fullmatch(path) else "of this name"


def _headers(error: ImgserveError, status: int) -> dict[str, str]:
    headers = {}
    if status in (429, 503):
        headers["retry-after"] = str(max(round(error.retry_after_s or RETRY_AFTER_S), 1))
    if status in (408, 413):  # the rest of the body must not keep the connection
        headers["connection"] = "close"
    return headers
