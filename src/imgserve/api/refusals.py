"""Refused requests and the reasons: each is a log line, and a refused job is one of the last thousand in memory.

``classic`` and ``v1/submit`` note them; ``v1/refusals`` lists them for the operator. A refusal holds a URL without user
name, password and query, and repeats no values of the request, which may be passwords in the wrong field.
"""

from collections import deque
from datetime import UTC, datetime

from imgserve.api.http.asgi import Scope
from imgserve.jobs.views import MAX_REFUSALS, Refusal, redacted_url, shown_source
from imgserve.request.job import JobRequest
from imgserve.request.principal import Principal
from imgserve.request.protocols import WRITING
from imgserve.telemetry import logs

MOST_TEXT = 500
_JOBS = ("/", "/v1/jobs")  # where jobs are posted


class Refusals:
    def __init__(self) -> None:
        self._last: deque[Refusal] = deque(maxlen=MAX_REFUSALS)

    def note(
        self, scope: Scope, code: str, detail: str, number: int | None = None, request: JobRequest | None = None
    ) -> None:
        """Of the refused requests only those that were to be a job are listed: all but those of other pages."""
        principal: Principal | None = scope.get("principal")
        host = next((value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"host"), "")
        client = scope.get("client")
        refusal = Refusal(
            at=datetime.now(UTC), code=code, classic_code=number, detail=detail[:MOST_TEXT],
            client=client[0] if client else "", host=host[:MOST_TEXT], principal=principal.name if principal else "",
            source=(shown_source(request.source) or "") if request else "",
            destinations=_places(request) if request else (),
        )  # fmt: skip
        logs.event(
            "refused", code=code, classic_code=number, principal=refusal.principal, client=refusal.client,
            host=refusal.host, detail=refusal.detail,
        )  # fmt: skip
        if scope.get("method", "POST") == "POST" and scope.get("path", "/") in _JOBS:
            self._last.append(refusal)

    def newest(self, limit: int) -> tuple[Refusal, ...]:
        """The newest first."""
        return tuple(reversed(self._last))[:limit]


def _places(request: JobRequest) -> tuple[str, ...]:
    """As they were posted: without a size, tags cannot be filled."""
    places = (output.destination for output in request.outputs)
    return tuple(redacted_url(place.shown, is_page=WRITING[place.kind].is_page) for place in places)
