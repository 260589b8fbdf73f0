"""Default webhooks for jobs that name none, and the sending of messages, each of them signed.

Called by ``intake`` and ``outbox``. Headers and signature are those of Standard Webhooks
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook as Signer

from imgserve import failpoint
from imgserve.engine.config import WebhookConfig
from imgserve.errors import ImgserveError
from imgserve.jobs.model import Message, OutboxEntry, OutboxOutcome, SentMessage
from imgserve.jobs.retry import webhook_delay
from imgserve.request import url
from imgserve.request.webhook import Webhook
from imgserve.telemetry import logs, metrics
from imgserve.telemetry.stage import stage
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import WebhookFailed, WebhookGone

# As Standard Webhooks proposes it: a receiver stores the message, and does its work later.
TIMEOUT_S = 15.0


class DefaultWebhooks:
    """The webhooks of the settings, for jobs that name none, classic ones too. SIGHUP replaces them."""

    def __init__(self, configs: Mapping[str, WebhookConfig] | None = None) -> None:
        self.replace(configs or {})

    def replace(self, configs: Mapping[str, WebhookConfig]) -> None:
        """For the jobs that come from now on."""
        webhooks = [(config, config.webhook()) for config in configs.values()]
        self._of = {name: webhook for config, webhook in webhooks for name in config.principals or ("",)}

    def of(self, principal: str) -> Webhook | None:
        """The principal's own one, else that of all."""
        return self._of.get(principal) or self._of.get("")


def host_of(message: Message) -> str:
    parsed = url.parse(message.url)
    return f"{parsed.scheme}://{parsed.host}:{parsed.port}"


async def send(message: Message, transfers: Transfers, now: float) -> int:
    """One try, at ``now`` by the wall clock; the status, a 2xx.

    Raises WebhookFailed, WebhookGone, WebhookRefused, TransfersBusy, CredentialNotAllowed.
    """
    with stage("webhook", event=message.type, message=message.id) as sending:
        secrets = transfers.credentials.webhook_secrets(message.secret, message.principal, message.url)
        lines = signed(message, secrets, now)
        status = await transfers.post(message.url, lines, message.headers, message.body, TIMEOUT_S)
        sending.add(status=status)
    failpoint.reach("webhook_sent")
    return status


def signed(message: Message, secrets: tuple[str, ...], now: float) -> tuple[str, ...]:
    """The header lines that identify and sign the message. Each secret signs, so that one can replace another."""
    at = datetime.fromtimestamp(int(now), UTC)
    signatures = (Signer(secret).sign(message.id, at, message.body.decode()) for secret in secrets)
    return (
        f"webhook-id: {message.id}",
        f"webhook-timestamp: {int(now)}",
        f"webhook-signature: {' '.join(signatures)}",
    )


def next_step(entry: OutboxEntry, error: ImgserveError, now: float, jitter: float) -> OutboxOutcome:
    """After a failed try at ``now``, by the queue's clock; ``jitter`` is from 0 to 1.

    A host's Retry-After may put the next try off, until the time of the last one at most.
    """
    if isinstance(error, WebhookGone):
        return "gone"
    delay_s = webhook_delay(entry.attempts, jitter)
    if delay_s is None:
        logs.event("webhook_abandoned", level=logs.WARNING, code=error.code)
        return "abandoned"
    return now + max(delay_s, min(error.retry_after_s or 0.0, entry.until - now))


def log_entry(status: int | None, error: ImgserveError | None, started: float) -> SentMessage:
    """For the log of the message's tries. ``started`` is by ``time.monotonic``."""
    if isinstance(error, WebhookFailed):
        status = error.answered
    return SentMessage(status, error.code if error else "", round((time.monotonic() - started) * 1000))


def count_end(outcome: OutboxOutcome | None) -> None:
    if outcome == "done":
        metrics.WEBHOOKS_ENDED.labels("delivered").inc()
    elif outcome in ("abandoned", "gone"):
        metrics.WEBHOOKS_ENDED.labels(outcome).inc()
