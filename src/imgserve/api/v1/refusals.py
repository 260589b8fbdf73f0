"""``GET /v1/refusals``: the jobs that were refused since the server's start, for its operator."""

from imgserve.api.http import asgi
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.query import number_of, query_of
from imgserve.api.refusals import Refusals
from imgserve.jobs.views import MAX_REFUSALS, RefusalPage
from imgserve.request.faults import beneath

USUAL_LIMIT = "50"


class RefusalList:
    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """The newest first. Raises RequestInvalid."""
        query = query_of(scope, {"limit": ""})
        with beneath("query", "limit"):
            limit = number_of(query.get("limit", USUAL_LIMIT), 1, MAX_REFUSALS)
        await asgi.answer_json(send, RefusalPage(self._refusals.newest(limit)))
