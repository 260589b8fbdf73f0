"""Webhooks in the outbox: which ends make one, with which bytes, until when it is tried, and what its log says."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from imgserve.jobs.event_views import MAX_TRIES
from imgserve.jobs.faults import NoSuchJob
from imgserve.jobs.model import Accepted, OutboxEntry, OutputResult, PlaceholderResult, SentMessage, Settlement
from imgserve.jobs.protocol import Granted, Queue
from imgserve.jobs.views import JobQuery, WebhookView
from imgserve.request.job import ResolvedOutput
from imgserve.request.webhook import WEBHOOK_EVENTS, Webhook, WebhookEvent
from tests.support.queues import (
    KEY,
    START,
    House,
    accepted,
    claimed,
    due_entries,
    ended,
    final_of,
    hold,
    new_job,
    output,
    states_of,
)
from tests.support.sizes import FOREVER_S, PATIENCE_S
from tests.support.states import OTHER

HOOK = Webhook("https://u:p@hook.test/in?token=x", secret="shop", headers=(("X-Shop", "7"),))
ALL = msgspec.structs.replace(HOOK, events=WEBHOOK_EVENTS)
LEASE_S = 120.0
DAY_S = 24 * 3600.0


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


async def test_only_wanted_events_make_one(queue: Queue) -> None:
    wanted: tuple[WebhookEvent, ...] = ("output.failed", "job.failed")
    await posted(queue, output(), output(OTHER), webhook=msgspec.structs.replace(HOOK, events=wanted))
    claim = await claimed(queue)
    await queue.settle(ended(claim, "delivered", "failed"), START + 1)
    told = [body_of(owed) for owed in await messages(queue, START + 1)]
    assert [(body["type"], body["data"]["output"]) for body in told] == [("output.failed", "1"), ("job.failed", None)]
    at_output, at_end = (body["data"]["job"] for body in told)
    assert (at_output["status"], at_output["outputs"][1]["status"]) == ("running", "failed")
    assert at_output["outputs"][1]["owed"] == at_end["outputs"][1]["owed"] == "error_image"
    assert (at_end["status"], at_end["outputs"][0]["status"]) == ("failed", "delivered")


async def test_outputs_that_end_together_are_told_together(queue: Queue) -> None:
    """Each message shows the other's end too."""
    await posted(queue, output(), output(OTHER), webhook=msgspec.structs.replace(HOOK, events=("output.failed",)))
    await queue.settle(ended(await claimed(queue), "failed"), START + 1)
    told = [body_of(owed)["data"] for owed in await messages(queue, START + 1)]
    assert [data["output"] for data in told] == ["0", "1"]
    assert [[place["status"] for place in data["job"]["outputs"]] for data in told] == [["failed"] * 2] * 2


async def test_without_a_webhook_there_is_none(queue: Queue) -> None:
    entry = await posted(queue, webhook=None)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    assert await messages(queue) == []
    assert (await queue.job(entry.id)).webhook is None
    assert await queue.webhook_log(entry.id) == ()


async def test_each_way_to_end_makes_its_own(queue: Queue) -> None:
    """Settled and recorded, cancelled, superseded by a newer one, failed over a row that cannot be carried out."""
    places = [output(f"{KEY}{number}") for number in range(3)]
    first, second, third = [await posted(queue, place, webhook=ALL) for place in places]
    claims = {claim.number: claim for claim in (await queue.take_work(3, START)).claims}
    done = claims[first.number]
    delivered = (OutputResult(done.outputs[0].id, "delivered"),)
    await queue.record(Settlement(done.number, done.token, delivered), START + 1)
    assert [body_of(owed)["type"] for owed in await messages(queue, START + 1)] == ["output.delivered"]
    await queue.settle(ended(done, "delivered"), START + 2)
    await queue.cancel(second.id, START + 3)
    newer = await posted(queue, places[2], now=START + 4)
    told = {body_of(owed)["data"]["job"]["id"]: body_of(owed) for owed in await messages(queue, START + 5)}
    assert {job_id: body["type"] for job_id, body in told.items()} == {
        first.id: "job.succeeded", second.id: "job.cancelled", third.id: "job.superseded",
    }  # fmt: skip
    assert told[third.id]["data"]["job"]["superseded_by"] == newer.id
    assert told[second.id]["data"]["job"]["outputs"][0]["error"]["code"] == "cancelled"


async def test_a_refused_job_makes_none(queue: Queue) -> None:
    """The reply says so. The placeholder that lies there is replaced all the same."""
    job = msgspec.structs.replace(new_job(output(), output(OTHER)), webhook=ALL)
    entry = await queue.enqueue(job, START)
    assert isinstance(entry, Accepted)
    await hold(queue, entry, output(), output(OTHER))
    first, second = entry.outputs
    results = (PlaceholderResult(first.id, "written"), PlaceholderResult(second.id, "refused"))
    await queue.refuse(entry.number, results, "delivery_failed", "no", START)
    assert [owed.kind for owed in await due_entries(queue)] == ["deletion"]


async def test_of_a_job_that_its_server_left_behind(house: House) -> None:
    """The next server activates it, which supersedes an older one: that one's webhook is made while the file opens."""
    queue = await house.open()
    older = await posted(queue)
    job = msgspec.structs.replace(new_job(), webhook=HOOK, principal="ann")
    newer = await queue.enqueue(job, START)
    assert isinstance(newer, Accepted)
    queue = await house.open(START + 1)
    [owed] = await messages(queue, START + 1)
    assert (owed.id, body_of(owed)["type"]) == (older.id, "job.superseded")
    assert body_of(owed)["data"]["job"]["superseded_by"] == newer.id


async def sent(queue: Queue, *outputs: ResolvedOutput, principal: str = "ann", webhook: Webhook = HOOK) -> OutboxEntry:
    """The first webhook of a job that has succeeded."""
    entry = await posted(queue, *outputs, principal=principal, webhook=webhook)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    owed, *_ = [owed for owed in await messages(queue) if owed.id == entry.id]
    return owed


async def test_each_try_sends_the_same(house: House) -> None:
    queue = await house.open()
    first = await sent(queue)
    await queue.settle_entry(first, START + 5, START + 1, SentMessage(503, "webhook_refused", 20))
    assert await messages(queue, START + 4) == []
    queue = await house.open(START + 6)
    [second] = await messages(queue, START + 6)
    assert (second.message, second.attempts) == (first.message, 1)
    assert second.token > first.token
    await queue.settle_entry(second, "done", START + 7, SentMessage(204, "", 30))
    assert (await queue.take_outbox(10, START + 1e9)).entries == ()


async def test_a_new_server_waits_for_a_tries_time(house: House) -> None:
    """Only a try that the dead server may have been making is made again at once."""
    queue = await house.open()
    waiting, cut_off = await sent(queue), await sent(queue, output(OTHER))
    await queue.settle_entry(waiting, START + 1800, START + 1)
    queue = await house.open(START + 2)
    assert [owed.entry_id for owed in await messages(queue, START + 2)] == [cut_off.entry_id]
    work = await queue.take_outbox(10, START + 1799)
    assert [owed.entry_id for owed in work.entries] == [cut_off.entry_id]
    assert [owed.entry_id for owed in await messages(queue, START + 1800)] == [waiting.entry_id]


async def test_messages_to_a_host_without_a_place_let_others_go_first(queue: Queue) -> None:
    elsewhere = msgspec.structs.replace(HOOK, url="https://hook.test.other.test/in")
    beside = msgspec.structs.replace(HOOK, url="https://u:p@hook.test/other")
    hooks = (HOOK, beside, HOOK, elsewhere)
    first, *_ = [await sent(queue, output(f"http://a.test/{nth}.png"), webhook=hook) for nth, hook in enumerate(hooks)]
    await queue.put_off(first, START + LEASE_S, START + LEASE_S + 30)
    [free] = await messages(queue, START + LEASE_S)
    assert free.message is not None
    assert free.message.url == elsewhere.url
    later = await messages(queue, START + LEASE_S + 31)
    assert [(owed.attempts, owed.message.url) for owed in later if owed.message] == [
        (0, hook.url) for hook in (HOOK, beside, HOOK)
    ]


async def test_an_end_wakes_the_outbox(queue: Queue) -> None:
    await posted(queue)
    claim = await claimed(queue)
    while_waiting = asyncio.create_task(queue.wait_for_outbox(FOREVER_S))
    await asyncio.sleep(0)
    await queue.settle(ended(claim, "delivered"), START)
    await asyncio.wait_for(while_waiting, PATIENCE_S)


async def test_it_holds_no_destination_and_no_newer_job_withdraws_it(queue: Queue) -> None:
    owed = await sent(queue)
    newer = await posted(queue, webhook=None)
    claim = await claimed(queue)
    await queue.settle(ended(claim, "delivered"), START)
    assert [again.entry_id for again in await messages(queue, START + LEASE_S)] == [owed.entry_id]
    assert (await queue.job(newer.id)).status == "succeeded"


async def test_a_message_that_was_sent_frees_no_destination(queue: Queue) -> None:
    """Its token counts its own tries, and may be equal to that of its job's claim, which still writes."""
    places = (output(), output(OTHER))
    await posted(queue, *places, webhook=ALL)
    claim = await claimed(queue)
    assert await queue.acquire(final_of(claim, claim.outputs[1]), START) == Granted()
    delivered = (OutputResult(claim.outputs[0].id, "delivered"),)
    await queue.record(Settlement(claim.number, claim.token, delivered), START)
    [owed] = await messages(queue)
    assert owed.token == claim.token
    await queue.settle_entry(owed, "done", START)
    newer = await accepted(queue, output(OTHER))
    assert not newer.held_ids


async def test_gone_abandons_all_of_that_principal_and_url(queue: Queue) -> None:
    elsewhere = msgspec.structs.replace(HOOK, url="https://hook.test/other")
    gone = await sent(queue)
    same = await sent(queue, output(OTHER))
    others = {
        (await sent(queue, output(f"{KEY}1"), principal="bob")).entry_id,
        (await sent(queue, output(f"{KEY}2"), webhook=elsewhere)).entry_id,
    }
    await queue.settle_entry(gone, "gone", START, SentMessage(410, "webhook_gone", 1))
    assert {owed.entry_id for owed in await messages(queue, START + LEASE_S)} == others
    assert [(await queue.webhook_log(job_id))[0].state for job_id in (gone.id, same.id)] == ["abandoned"] * 2
    counts = await queue.counts()
    assert (counts.webhooks, counts.webhooks_abandoned, counts.placeholders_left) == (2, 2, 0)


async def test_its_job_stays_while_it_is_pending(queue: Queue) -> None:
    owed = await sent(queue)
    while not (await queue.prune(START + 3 * DAY_S)).is_done:
        pass
    [again] = await messages(queue, START + 3 * DAY_S)
    assert again.message == owed.message
    await queue.settle_entry(again, "abandoned", START + 3 * DAY_S)
    while not (await queue.prune(START + 3 * DAY_S)).is_done:
        pass
    assert (await queue.page(JobQuery())).jobs == ()
    assert (await queue.counts()).webhooks_abandoned == 0


async def test_the_log_of_its_tries(queue: Queue) -> None:
    owed = await sent(queue, webhook=ALL)
    await queue.settle_entry(owed, START + 5, START, SentMessage(None, "webhook_unreachable", 15_000))
    first, last = await queue.webhook_log(owed.id, "ann")
    assert (first.type, first.state, first.next_attempt_at) == ("output.delivered", "pending", first.next_attempt_at)
    assert first.next_attempt_at is not None
    assert first.next_attempt_at.timestamp() == START + 5
    assert [(each.at.timestamp(), each.status, each.error, each.duration_ms) for each in first.tries] == [
        (START, None, "webhook_unreachable", 15_000)
    ]
    assert (last.type, last.timestamp.timestamp(), last.tries) == ("job.succeeded", START, ())
    with pytest.raises(NoSuchJob):
        await queue.webhook_log(owed.id, "bob")


async def test_the_log_keeps_the_newest_tries(queue: Queue) -> None:
    await sent(queue)
    for number in range(MAX_TRIES + 3):
        now = START + LEASE_S * (number + 1)
        [owed] = await messages(queue, now)
        await queue.settle_entry(owed, now, now, SentMessage(500 + number, "", 1))
    [told] = await queue.webhook_log(owed.id)
    assert [each.status for each in told.tries] == list(range(503, 503 + MAX_TRIES))


async def test_a_replay_sends_the_same_again(queue: Queue) -> None:
    done = await sent(queue)
    assert await queue.replay_webhooks(done.id, START) == 0  # it is pending
    await queue.settle_entry(done, "done", START, SentMessage(200, "", 1))
    with pytest.raises(NoSuchJob):
        await queue.replay_webhooks(done.id, START, "bob")
    waiting = asyncio.create_task(queue.wait_for_outbox(FOREVER_S))
    await asyncio.sleep(0)
    assert await queue.replay_webhooks(done.id, START + 100, "ann") == 1
    await asyncio.wait_for(waiting, PATIENCE_S)
    [again] = await messages(queue, START + 100)
    assert (again.message, again.attempts) == (done.message, 0)
    await queue.settle_entry(again, "abandoned", START + 100)
    assert await queue.replay_webhooks(done.id, START + 200) == 1


async def test_a_retried_job_tells_of_each_end(queue: Queue) -> None:
    entry = await posted(queue, output(is_bare=True))
    await queue.settle(ended(await claimed(queue), "failed"), START)
    await queue.retry(entry.id, None, 100.0, START + 1)
    await queue.settle(ended(await claimed(queue, START + 1), "delivered"), START + 2)
    told = [owed.message for owed in await messages(queue, START + 2)]
    assert [message.type for message in told if message] == ["job.failed", "job.succeeded"]
    assert len({message.id for message in told if message}) == 2


async def test_people_see_url_and_events(queue: Queue) -> None:
    entry = await posted(queue)
    assert (await queue.job(entry.id)).webhook == WebhookView("https://hook.test/in?...", HOOK.events)
