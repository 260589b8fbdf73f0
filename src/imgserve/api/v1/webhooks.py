"""``GET /v1/jobs/{id}/webhooks`` and its ``replay``: what became of the webhooks of a job, and once more."""

from imgserve.api.http import asgi
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.openapi import Call
from imgserve.api.query import query_of
from imgserve.api.v1.jobs import JOB_ID, id_in, own
from imgserve.engine.operator import JobAdmin
from imgserve.jobs.event_views import WebhookLog

CALLS = (
    Call(
        "GET",
        "/v1/jobs/{job_id}/webhooks",
        "job_webhooks",
        "The webhooks of a job, oldest first, each with its newest tries.",
        {"application/json": WebhookLog},
        (401, 404, 422, 503),
        (JOB_ID,),
    ),
    Call(
        "POST",
        "/v1/jobs/{job_id}/webhooks/replay",
        "replay_webhooks",
        "Send the webhooks of a job once more that were sent or given up, with the same ids and bodies.",
        {"application/json": WebhookLog},
        (401, 404, 422, 503),
        (JOB_ID,),
    ),
)


class Webhooks:
    def __init__(self, admin: JobAdmin) -> None:
        self._admin = admin

    async def log(self, scope: Scope, _receive: Receive, send: Send) -> None:
        query_of(scope, {})
        await asgi.answer_json(send, await self._admin.webhook_log(id_in(scope), own(scope["principal"])))

    async def replay(self, scope: Scope, _receive: Receive, send: Send) -> None:
        query_of(scope, {})
        await asgi.answer_json(send, await self._admin.replay_webhooks(id_in(scope), own(scope["principal"])))
