"""A message to a webhook: one POST of JSON. Called by ``dispatch``."""

from imgserve.blob import Blob
from imgserve.request.access import Headers
from imgserve.transfer.client import location, statuses
from imgserve.transfer.client.along import Along
from imgserve.transfer.client.call import Answer, Call, deadline_in
from imgserve.transfer.client.curl import Client
from imgserve.transfer.faults import WebhookFailed, WebhookGone, notifying
from imgserve.transfer.protocols.http import AGENT, NO_EXPECT, is_good

_MEDIA_TYPE = "Content-Type: application/json"
_GONE = 410


async def post(client: Client, url: str, lines: tuple[str, ...], own: Headers, body: bytes, timeout_s: float) -> int:
    """The status, a 2xx. ``lines`` are further header lines, ``own`` the headers of the job.

    A redirect is not followed: the message is for this URL alone.
    Raises WebhookFailed, WebhookGone, WebhookRefused, TransfersBusy.
    """
    with Blob.of(body) as blob, notifying:
        call = Call(
            method="POST", url=url, deadline_s=deadline_in(timeout_s), body=blob,
            headers=(AGENT, NO_EXPECT, _MEDIA_TYPE, *lines),
            along=Along(location.origin(url), tuple(f"{name}: {value}" for name, value in own)),
        )  # fmt: skip
        answer = await client.perform(call)
    if not is_good(answer.status):
        raise _refused(answer)
    return answer.status


def _refused(answer: Answer) -> WebhookFailed:
    detail = f"{location.origin(answer.url)} answered {answer.status} to the message"
    kind = WebhookGone if answer.status == _GONE else WebhookFailed
    refused = kind(detail, statuses.remedy(answer.status, is_write=True), retry_after_s=answer.retry_after_s)
    refused.answered = answer.status
    return refused
