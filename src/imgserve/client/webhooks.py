"""Webhooks at their receiver: the request's body and headers in, a verified ``Event`` out. Standard Webhooks 1.0.0.

A stream of events has the same bodies (``event_of``).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from standardwebhooks import Webhook, WebhookVerificationError

from imgserve.client.answers import Event, Job
from imgserve.client.errors import AnswerInvalid, SignatureInvalid
from imgserve.request import webhook_secret


class _Data(msgspec.Struct, frozen=True):
    """``output`` is a name."""

    job: Job | None = None
    output: str | None = None


class _Body(msgspec.Struct, frozen=True):
    """Types that a later server adds may lack any field."""

    type: str = ""
    timestamp: datetime | None = None
    data: _Data = _Data()


def verify_webhook(body: bytes, headers: Mapping[str, str], secret: str | Sequence[str]) -> Event:
    """The event, once its signature has been checked. Give ``body`` as it came, byte for byte.

    ``secret`` (``whsec_…``) may be several, while one takes the place of another. The same event may come again: its
    ``id`` tells. Raises SignatureInvalid, AnswerInvalid, and ValueError for a secret that cannot be one.
    """
    keys = [_key_of(each) for each in ((secret,) if isinstance(secret, str) else secret)]
    if not any(_is_signed(body, headers, key) for key in keys):
        raise SignatureInvalid(
            "the request has no valid signature, or it is more than five minutes old",
            "compare the secret with the server's, and this machine's clock with the time",
        )
    return event_of({name.lower(): value for name, value in headers.items()}["webhook-id"], body)


def event_of(event_id: str, body: bytes, kind: str = "") -> Event:
    """``kind`` is the type of a body that does not say it. Raises AnswerInvalid."""
    try:
        read = msgspec.json.decode(body, type=_Body)
    except msgspec.DecodeError as error:
        raise AnswerInvalid(f"an event that this client cannot read: {error}") from error
    outputs = read.data.job.outputs if read.data.job else ()
    output = next((each for each in outputs if each.name == read.data.output), None)
    return Event(id=event_id, type=read.type or kind, timestamp=read.timestamp, job=read.data.job, output=output)


def _is_signed(body: bytes, headers: Mapping[str, str], key: bytes) -> bool:
    try:
        Webhook(key).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # of headers that are no signature
        return False
    return True


def _key_of(secret: str) -> bytes:
    """Raises ValueError, which does not show it."""
    key = webhook_secret.key_of(secret)
    if key is None:
        raise ValueError(f"expected a secret: {webhook_secret.EXPECTED}")
    return key
