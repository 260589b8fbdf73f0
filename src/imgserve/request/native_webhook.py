"""The webhook of a native job: a URL, or an object with one, in; a checked ``Webhook`` out, and back.

Called by ``native_job``.
"""

from typing import Annotated, cast

import msgspec
from msgspec import Meta

from imgserve.request import url
from imgserve.request.access import CredentialField, HeadersField
from imgserve.request.faults import Fault, Faults, RequestInvalid
from imgserve.request.fields import check_names, fields_of, read_fields
from imgserve.request.native_destination import Url
from imgserve.request.protocols import SCHEMES
from imgserve.request.webhook import DEFAULT_EVENTS, WEBHOOK_EVENTS, Webhook, WebhookEvent

_EXPECTED = "expected an http(s) URL"


class WebhookBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A URL that is told how the job ends."""

    url: Annotated[Url, Meta(description="http or https")]
    events: Annotated[
        tuple[WebhookEvent, ...],
        Meta(min_length=1, max_length=len(WEBHOOK_EVENTS), description="those that are told, each once"),
    ] = DEFAULT_EVENTS
    secret: CredentialField | None = None
    headers: HeadersField = {}


def parse_webhook(value: object) -> Webhook:
    """Raises RequestInvalid with all faults and paths from the webhook."""
    if not isinstance(value, dict):
        return Webhook(_url(value))
    faults = Faults()
    check_names(value, tuple(fields_of(WebhookBody)), (), faults)
    options = read_fields({name: one for name, one in value.items() if name != "url"}, WebhookBody, faults)
    events = options.get("events", ())
    if len(set(events)) < len(events):
        faults.append(Fault("field_invalid", ("events",), "expected each event once"))
    text = faults.attempt(("url",), _url, value["url"]) if "url" in value else None
    if "url" not in value:
        faults.append(Fault("field_missing", ("url",), "this field is missing"))
    faults.raise_any()
    return Webhook(cast(str, text), **options)


def dump_webhook(webhook: Webhook) -> str | dict[str, object]:
    """As ``parse_webhook`` reads it."""
    fields: dict[str, object] = msgspec.to_builtins(webhook)
    if "headers" in fields:
        fields["headers"] = dict(webhook.headers)
    return webhook.url if len(fields) == 1 else fields


def _url(value: object) -> str:
    """In the one spelling that the transfer uses. Raises RequestInvalid."""
    protocol = SCHEMES.get(url.scheme_of(value) or "") if isinstance(value, str) else None
    if not isinstance(value, str) or protocol is None or protocol.source != "http":
        raise RequestInvalid(Fault("field_invalid", note=_EXPECTED))
    try:
        return url.parse(value).text
    except url.UrlInvalid as error:
        raise RequestInvalid(Fault("field_invalid", note=str(error))) from None
