"""Transactions of webhooks: a job's end adds an outbox entry with the body, tries are noted, and a job's are replayed.

An entry's body and id never change, so that each try sends the same bytes.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from imgserve.jobs.event_views import MAX_TRIES, WebhookDelivery, WebhookTry
from imgserve.jobs.model import EventType, Message, OutboxEntry, SentMessage
from imgserve.jobs.retry import WEBHOOK_TRIES_AT_S
from imgserve.jobs.shown import WallOf, event_body
from imgserve.jobs.sql.database import Database, Reader, rows
from imgserve.jobs.sql.queries import load
from imgserve.jobs.sql.reading import read
from imgserve.jobs.stored import UNREADABLE, decode_webhook
from imgserve.jobs.views import time_of
from imgserve.telemetry import logs

SQL = load("webhooks")

_LAST_TRY_S = WEBHOOK_TRIES_AT_S[-1]


class _Head(msgspec.Struct, frozen=True):
    type: EventType
    timestamp: datetime


_decode_head = msgspec.json.Decoder(_Head).decode


class Happened(msgspec.Struct, frozen=True):
    """An event of a job; ``output`` is an id, None where it is the whole job's."""

    output: int | None
    at: float
    type: EventType


def add(db: Database, number: int, stored: bytes, events: Sequence[Happened]) -> None:
    """An entry for each of these events of a job that its webhook, as ``stored``, wants."""
    try:
        webhook = decode_webhook(stored)
    except UNREADABLE as error:
        logs.event("webhook_unreadable", level=logs.WARNING, number=number, detail=str(error))
        return
    wanted = [event for event in events if event.type in webhook.events]
    if not wanted:
        return
    reading = read(db, number, db.wall_of)
    for event in wanted:
        body = event_body(event.type, event.at, reading.job, reading.name_of(event.output), db.wall_of)
        message_id = f"msg_{secrets.token_hex(16)}"
        db.execute(SQL["add"], (number, body, event.at, event.at + _LAST_TRY_S, message_id, webhook.url))
    db.is_outbox_filled = True


def message_of(message_id: str, payload: bytes, webhook: bytes, principal: str) -> Message:
    """Raises one of UNREADABLE."""
    target = decode_webhook(webhook)
    return Message(
        message_id, _decode_head(payload).type, target.url, target.headers, target.secret, payload, principal
    )


def note_try(db: Database, entry: OutboxEntry, sent: SentMessage, now: float) -> None:
    db.execute(SQL["add_try"], (entry.entry_id, now, sent.status, sent.error, sent.duration_ms))
    db.execute(SQL["forget_tries"], (entry.entry_id, MAX_TRIES))


def abandon_url(db: Database, message: Message) -> None:
    """All pending entries of the message's principal for the same URL."""
    db.execute(SQL["abandon_target"], (message.url, message.principal))


def replay(db: Database, number: int, now: float) -> int:
    """Make the entries of a job due again that are not pending; their number."""
    db.is_abandoned_changed = True
    db.execute(SQL["replay"], (now, now + _LAST_TRY_S, number))
    return db.changes()


def deliveries(db: Reader, number: int, wall_of: WallOf) -> tuple[WebhookDelivery, ...]:
    """The webhooks of a job, oldest first."""
    views = []
    for entry_id, message_id, payload, state, due_at in rows(db, SQL["of_job"], (number,)):
        tries = tuple(
            WebhookTry(time_of(wall_of(at)), status, error or None, duration_ms)
            for at, status, error, duration_ms in rows(db, SQL["tries"], (entry_id,))
        )
        next_at = time_of(wall_of(due_at)) if state == "pending" else None
        with suppress(*UNREADABLE):
            head = _decode_head(payload)
            views.append(WebhookDelivery(message_id, head.type, head.timestamp, state, next_at, tries))
    return tuple(views)
