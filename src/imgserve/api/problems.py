"""Faults of the native calls as problem details (RFC 9457): every answer that is no success has this one shape."""

import re
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from imgserve.errors import ImgserveError
from imgserve.request.faults import RequestInvalid, dotted
from imgserve.telemetry import logs

HTTP_METHOD_NOT_ALLOWED = 405
CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


_LONGEST_PATH = 60
_PATH = re.compile(r"[A-Za-z0-9/._-]*", re.ASCII)
# status -> title, detail, hint
_FRAMEWORK = {
    404: ("There is no such page", "there is no page {path}", "jobs are posted to /; docs/reference names all pages"),
    405: ("The method is not allowed here", "{method} is not allowed at {path}", "expected another method"),
    413: ("The body is too large", "the body is too large", "send less"),
}


class FieldFault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request, and the field that it stands in."""

    path: str
    code: str
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """``type`` and ``code`` are stable; ``detail`` and ``hint`` are for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    errors: tuple[FieldFault, ...] = ()


class BodyNoJob(ImgserveError):
    code = "body_no_job"
    status = 400
    title = "The body is no job"


class BodyTooSlow(ImgserveError):
    code = "body_too_slow"
    status = 408
    title = "The body did not come in time"


def problem_of(error: ImgserveError) -> Problem:
    found = error.faults if isinstance(error, RequestInvalid) else ()
    errors = tuple(FieldFault(dotted(fault.path), fault.code, fault.reason()) for fault in found)
    kind = f"urn:imgserve:problem:{error.code}"
    return Problem(kind, error.title, error.status, error.detail, error.code, error.hint, errors)


def _answer(problem: Problem, retry_after_s: float | None = None) -> Response[Problem]:
    headers = {"retry-after": str(round(retry_after_s or RETRY_AFTER_S))} if problem.status == 503 else {}
    return Response(problem, status_code=problem.status, media_type=CONTENT_TYPE, headers=headers)


def _fault(_request: Request[Any, Any, Any], error: ImgserveError) -> Response[Problem]:
    answer = _answer(problem_of(error), error.retry_after_s)
    if error.status == 408:  # the rest of the body must not keep the connection
        answer.headers["connection"] = "close"
    return answer


def _framework_fault(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """For Litestar's own refusals: no such route, a parameter of the wrong type."""
    extra = error.extra if isinstance(error.extra, list) else []
    told = "; ".join(f"{each['key']}: {each['message']}" for each in extra if isinstance(each, dict) and "key" in each)
    code = {404: "no_such_page", 405: "method_not_allowed", 413: "body_too_large"}.get(
        error.status_code, "request_invalid"
    )
    title, detail, hint = _FRAMEWORK.get(error.status_code, ("The request is invalid", "the request is invalid", ""))
    allowed = _allowed(request) if error.status_code == HTTP_METHOD_NOT_ALLOWED else ""
    said = told or detail.format(path=_shown_path(request.scope["path"]), method=request.method)
    where = f"{hint}: {allowed}" if allowed else hint
    answer = _answer(Problem(f"urn:imgserve:problem:{code}", title, error.status_code, said, code, where))
    if allowed:
        answer.headers["allow"] = allowed
    return answer


def _allowed(request: Request[Any, Any, Any]) -> str:
    """For the header that RFC 9110 (15.5.6) wants. ``POST /`` stands beside the framework (``app.py``)."""
    methods = {
        str(method) for route in request.app.routes if route.path == request.scope["path"] for method in route.methods
    }
    return ", ".join(sorted(methods | ({"POST"} if request.scope["path"] == "/" else set()))) or "GET"


def _shown_path(path: str) -> str:
    """The path if it could be one of ours; nothing else that a caller sent is repeated."""
    return path if len(path) <= _LONGEST_PATH and _PATH.fullmatch(path) else "of this name"


def _bug(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    logs.bug("api_bug", error=error, path=request.scope["path"])
    return _answer(problem_of(ImgserveError("a fault inside imgserve; its log has the details")))


HANDLERS: dict[int | type[Exception], Any] = {ImgserveError: _fault, HTTPException: _framework_fault, Exception: _bug}
