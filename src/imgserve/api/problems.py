"""Faults of the native calls as problem details (RFC 9457): every answer that is no success has this one shape."""

import re
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from imgserve.api.control_socket import FieldFault, Problem
from imgserve.api.http import asgi
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.errors import FieldRef, ImgserveError, dotted, spell
from imgserve.request.faults import RequestInvalid
from imgserve.telemetry import logs

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


_LONGEST_PATH = 60
_PATH = re.compile(r"[A-Za-z0-9/._-]*", re.ASCII)


class NoSuchPage(ImgserveError):
    code = "no_such_page"
    status = 404
    title = "There is no such page"


class MethodNotAllowed(ImgserveError):
    code = "method_not_allowed"
    status = 405
    title = "The method is not allowed here"


def problem_of(error: ImgserveError) -> Problem:
    found = error.faults if isinstance(error, RequestInvalid) else ()
    errors = tuple(FieldFault(dotted(FieldRef(fault.path)), fault.code, fault.reason()) for fault in found)
    kind = f"urn:imgserve:problem:{error.code}"
    return Problem(kind, error.title, error.status, error.detail, error.code, spell(error.hint), errors)


def _answer(problem: Problem, retry_after_s: float | None = None) -> Response[Problem]:
    headers = {"retry-after": str(round(retry_after_s or RETRY_AFTER_S))} if problem.status == 503 else {}
    return Response(problem, status_code=problem.status, media_type=CONTENT_TYPE, headers=headers)


def _fault(_request: Request[Any, Any, Any], error: ImgserveError) -> Response[Problem]:
    answer = _answer(problem_of(error), error.retry_after_s)
    if error.status in (408, 413):  # the rest of the body must not keep the connection
        answer.headers["connection"] = "close"
    return answer


def _framework_fault(_request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """For Litestar's own refusals: a parameter that is missing or of the wrong type."""
    extra = error.extra if isinstance(error.extra, list) else []
    told = "; ".join(f"{each['key']}: {each['message']}" for each in extra if isinstance(each, dict) and "key" in each)
    title, detail = "The request is invalid", told or "the request is invalid"
    return _answer(Problem("urn:imgserve:problem:request_invalid", title, error.status_code, detail, "request_invalid"))


def no_such_page(path: str) -> NoSuchPage:
    return NoSuchPage(f"there is no page {_shown_path(path)}", "jobs are posted to /; docs/reference names all pages")


def not_allowed(scope: Scope, allowed: str) -> MethodNotAllowed:
    detail = f"{scope['method']} is not allowed at {_shown_path(scope['path'])}"
    return MethodNotAllowed(detail, f"expected another method: {allowed}")


async def answer(error: ImgserveError, send: Send, *headers: tuple[bytes, bytes]) -> None:
    """For a request that reaches no handler."""
    body = msgspec.json.encode(problem_of(error))
    await asgi.answer(send, error.status, ((b"content-type", CONTENT_TYPE.encode()), *headers), body)


def _shown_path(path: str) -> str:
    """The path if it could be one of ours; nothing else that a caller sent is repeated."""
    return path if len(path) <= _LONGEST_PATH and _PATH.fullmatch(path) else "of this name"


async def deny(error: ImgserveError, _scope: Scope, _receive: Receive, send: Send) -> None:
    await answer(error, send)


def bug(error: Exception, path: str) -> ImgserveError:
    logs.bug("api_bug", error=error, path=path)
    return ImgserveError("a fault inside imgserve; its log has the details")


def _bug(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    return _answer(problem_of(bug(error, request.scope["path"])))


HANDLERS: dict[int | type[Exception], Any] = {ImgserveError: _fault, HTTPException: _framework_fault, Exception: _bug}
