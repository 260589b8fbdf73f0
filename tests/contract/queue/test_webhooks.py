"""Webhooks in the outbox: which ends make one, with which bytes, until when it is tried, and what its log says."""

import json
from typing import Any

import msgspec

from imgserve.jobs.model import Accepted, OutboxEntry, OutputResult, Settlement
from imgserve.jobs.protocol import Queue
from imgserve.request.job import ResolvedOutput
from imgserve.request.webhook import Webhook
from tests.support.queues import START, claimed, due_entries, hold, new_job, output, states_of

HOOK = Webhook("https://u:p@hook.test/in?token=x", secret="shop", headers=(("X-Shop", "7"),))


async def posted(
    queue: Queue, *outputs: ResolvedOutput, webhook: Webhook | None = HOOK, principal: str = "ann", now: float = START
) -> Accepted:
    """A job with a webhook that went through intake."""
    job = msgspec.structs.replace(new_job(*outputs), webhook=webhook, principal=principal)
    entry = await queue.enqueue(job, now)
    assert isinstance(entry, Accepted)
    await hold(queue, entry, *outputs, now=now)
    await queue.activate(entry.number, states_of(entry, *outputs), now)
    return entry


async def messages(queue: Queue, now: float = START) -> list[OutboxEntry]:
    return [entry for entry in await due_entries(queue, now) if entry.kind == "webhook"]


def body_of(entry: OutboxEntry) -> dict[str, Any]:
    assert entry.message is not None
    body: dict[str, Any] = json.loads(entry.message.body)
    assert body["type"] == entry.message.type
    return body


async def test_the_end_of_a_job_makes_one(queue: Queue) -> None:
    entry = await posted(queue, msgspec.structs.replace(output(), name="card"))
    assert await messages(queue) == []
    claim = await claimed(queue, START + 1)
    delivered = OutputResult(claim.outputs[0].id, "delivered", size_bytes=7, sha256=b"\x01" * 32)
    await queue.settle(Settlement(claim.number, claim.token, (delivered,)), START + 2)
    [owed] = await messages(queue, START + 2)
    message = owed.message
    assert message is not None
    assert (owed.id, message.type, message.url, message.headers, message.secret, message.principal) == (
        entry.id, "job.succeeded", HOOK.url, HOOK.headers, HOOK.secret, "ann",
    )  # fmt: skip
    assert message.id.startswith("msg_")
    body = json.loads(message.body)
    assert (set(body), body["timestamp"]) == ({"type", "timestamp", "data"}, "1970-01-12T13:46:42Z")
    shown = msgspec.to_builtins((await queue.job(entry.id)).public())
    shown.pop("timeline")
    assert body["data"] == {"job": json.loads(msgspec.json.encode(shown)), "output": None}
    assert (body["data"]["job"]["status"], body["data"]["job"]["outputs"][0]["sha256"]) == ("succeeded", "01" * 32)
    assert body["data"]["job"]["webhook"] == {"url": "https://hook.test/in?...", "events": list(HOOK.events)}
    assert "u:p" not in message.body.decode()
    assert "token" not in message.body.decode()
