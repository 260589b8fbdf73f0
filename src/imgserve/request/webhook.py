"""The webhook of a job: a URL that is told how the job ends."""

from typing import Literal, get_args

import msgspec

from imgserve.request.access import Headers

WebhookEvent = Literal[
    "job.succeeded", "job.failed", "job.cancelled", "job.superseded", "output.delivered", "output.failed",
]  # fmt: skip
WEBHOOK_EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)
DEFAULT_EVENTS: tuple[WebhookEvent, ...] = ("job.succeeded", "job.failed", "job.cancelled", "job.superseded")


class Webhook(msgspec.Struct, frozen=True, omit_defaults=True):
    """``secret`` is the name of the credential that signs; empty: the default one of the job's principal.

    The URL and the headers may hold secrets, and are never logged.
    """

    url: str
    events: tuple[WebhookEvent, ...] = DEFAULT_EVENTS
    secret: str = ""
    headers: Headers = ()

    def __repr__(self) -> str:
        return "Webhook()"
