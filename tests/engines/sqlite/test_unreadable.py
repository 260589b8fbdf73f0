"""Rows that this version cannot read: they hold up nobody, and what can be read of them is paid."""

import asyncio
import json
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.event_views import EventQuery
from imgserve.jobs.model import Accepted, Message
from imgserve.jobs.protocol import KeptUpload, Queue
from imgserve.jobs.sqlite.inspect import inspect
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from imgserve.jobs.stored import encode_output
from imgserve.jobs.views import JobQuery
from imgserve.request.imageinfo import Size
from imgserve.request.source import received, sent_source
from imgserve.request.webhook import Webhook
from tests.support.queues import (
    KEY,
    START,
    accepted,
    claimed,
    due_entries,
    ended,
    failed,
    hold,
    new_job,
    output,
    pruned,
    released,
    states_of,
)
from tests.support.sqlite import SqliteHouse

DAY_S = 24 * 3600.0
OTHER = "http://place.test:80/other.png"
Changes = dict[str, Any]


def spoil(directory: Path, table: str, column: str, stored: bytes) -> None:
    """Put a text into the oldest row's column; no server has the file."""
    db = apsw.Connection(str(directory / FILE_NAME))
    db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT min(rowid) FROM {table})", (stored,))
    db.close()


def changed(**changes: Any) -> bytes:
    """An output as another version might have written it: what is None is not there."""
    stored: Changes = json.loads(encode_output(output()))
    stored |= {name: value for name, value in changes.items() if value is not None}
    for name in [name for name, value in changes.items() if value is None]:
        del stored[name]
    return json.dumps(stored).encode()


UNKNOWN_RECIPE = {"operations": [{"operation": "carve", "deep": 2}], "output": {"format": "png", "quality": None}}
GARBAGE = (b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"destination": 7}', b"[" * 100_000)


async def spoiled(house: SqliteHouse, table: str, column: str, stored: bytes, *, has_failed: bool = False) -> Queue:
    """The oldest of two jobs, with its placeholder out, and spoiled."""
    queue = await house.open()
    await (failed(queue) if has_failed else released(queue))
    await released(queue, output(OTHER))
    await house.crash()
    spoil(house.data_dir, table, column, stored)
    return await house.open()


async def works_after(queue: Queue) -> None:
    work = await queue.take_work(9, START)
    assert [place.spec.placement.destination.key for claim in work.claims for place in claim.outputs] == [OTHER]
    assert await queue.settle(ended(work.claims[0], "delivered"), START)


@pytest.mark.parametrize(("table", "column"), [("job", "source"), ("job", "info")])
@pytest.mark.parametrize("stored", GARBAGE[:3])
async def test_a_job_that_cannot_be_read_owes_what_its_outputs_say(
    house: SqliteHouse, table: str, column: str, stored: bytes
) -> None:
    queue = await spoiled(house, table, column, stored)
    await works_after(queue)
    (owed,) = await due_entries(queue)
    assert owed.output.spec == output()
    assert (await queue.counts()).pending == 1


@pytest.mark.parametrize("has_failed", [False, True])
@pytest.mark.parametrize(
    ("stored", "on_failure"),
    [
        (changed(recipe=UNKNOWN_RECIPE), "error_image"),
        (changed(recipe=UNKNOWN_RECIPE, on_failure=None), "error_image"),
        (changed(placeholder={"style": "blurred"}), "error_image"),
        (changed(recipe=UNKNOWN_RECIPE, on_failure="delete"), "delete"),
        (changed(size=None, recipe="new", on_failure="delete"), "delete"),
    ],
)
async def test_what_can_be_read_of_an_output_is_owed(
    house: SqliteHouse, stored: bytes, on_failure: str, has_failed: bool
) -> None:
    """Size and format for a failure picture; the destination alone for a deletion."""
    queue = await spoiled(house, "output", "spec", stored, has_failed=has_failed)
    await works_after(queue)
    (owed,) = await due_entries(queue)
    placement = owed.output.spec.placement
    assert (placement.destination, placement.on_failure) == (output().placement.destination, on_failure)
    if on_failure == "error_image":
        assert owed.output.spec.rendering.size == Size(8, 8)
    assert owed.output.spec.rendering.format == "png"
    await queue.settle_entry(owed, "done", START)
    assert (await queue.counts()).placeholders_left == 0


async def test_a_placeholder_that_may_stay_stays(house: SqliteHouse) -> None:
    stored = changed(recipe=UNKNOWN_RECIPE, on_failure="keep_placeholder")
    queue = await spoiled(house, "output", "spec", stored)
    await works_after(queue)
    assert await due_entries(queue) == ()
    assert (await queue.counts()).placeholders_left == 0


@pytest.mark.parametrize("has_failed", [False, True])
@pytest.mark.parametrize(
    "stored",
    [
        *GARBAGE,
        changed(size=None),
        changed(destination=None),
        changed(recipe={"output": {"format": "jxl"}}),
        changed(destination=None, on_failure="delete"),
    ],
)
async def test_the_rest_is_kept_as_abandoned_and_told(house: SqliteHouse, stored: bytes, has_failed: bool) -> None:
    queue = await spoiled(house, "output", "spec", stored, has_failed=has_failed)
    assert isinstance(queue, SqliteQueue)
    await works_after(queue)
    assert await due_entries(queue) == ()
    counts = await queue.counts()
    assert (counts.unreadable, counts.placeholders_left, counts.queued) == (1, 1, 0)
    [job] = (await queue.page(JobQuery(("failed",)))).jobs
    assert (job.error and job.error.code) == (None if has_failed else "internal")
    await until_told(queue, ["placeholders_abandoned"])
    seen = inspect(house.data_dir)
    assert seen is not None
    assert seen.counts == counts
    assert await pruned(queue, START + 13 * DAY_S) == 1, "the other one"
    assert await pruned(queue, START + 15 * DAY_S) == 1
    await until_told(queue, [])


async def until_told(queue: SqliteQueue, names: list[str]) -> None:
    for _ in range(1000):
        if [state.name for state in queue.states()] == names:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"the states never were {names}")


async def test_one_without_a_placeholder_leaves_nothing(house: SqliteHouse) -> None:
    queue = await house.open()
    entry = await released(queue, output(is_bare=True))
    await house.crash()
    spoil(house.data_dir, "output", "spec", b"{")
    queue = await house.open()
    assert (await queue.take_work(9, START)).claims == ()
    assert house.statuses() == {entry.number: "failed"}
    assert (await queue.counts()).placeholders_left == 0


async def test_cancelling_one_that_cannot_be_read(house: SqliteHouse) -> None:
    queue = await spoiled(house, "output", "spec", b"{")
    db = apsw.Connection(str(house.data_dir / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
    job_id: str = db.execute("SELECT id FROM job ORDER BY number LIMIT 1").get
    db.close()
    await queue.cancel(job_id, START)
    assert sorted(house.statuses().values()) == ["cancelled", "queued"]
    assert (await queue.counts()).unreadable == 1


async def test_a_destination_that_cannot_be_read_holds_up_nobody(house: SqliteHouse) -> None:
    queue = await house.open()
    await released(queue, output(), output("http://place.test:80/b.png"))
    await released(queue, output(OTHER))
    await house.crash()
    db = apsw.Connection(str(house.data_dir / FILE_NAME))
    db.execute("UPDATE output SET destination = 'no place' WHERE id = 1")
    db.close()
    queue = await house.open(config=Config(min_free_disk_bytes=0))
    claims = (await queue.take_work(9, START)).claims
    for claim in claims:
        await queue.settle(ended(claim, "retry", retry_at=START), START)
    assert len((await queue.take_work(9, START)).claims) == 2


TEXTS = [
    *(("job", column) for column in ("id", "status", "traceparent", "principal", "hosts", "priority", "protocol")),
    *(
        ("output", column)
        for column in ("destination", "status", "placeholder", "user", "error", "detail", "hint", "etag")
    ),
]


def damage(directory: Path, table: str, column: str) -> None:
    """A bit of a text is another one now, which makes it no UTF-8."""
    db = apsw.Connection(str(directory / FILE_NAME))
    db.execute(f"UPDATE {table} SET {column} = CAST(X'78C378' AS TEXT) WHERE rowid = 1")
    db.close()


@pytest.mark.parametrize("is_running", [False, True])
@pytest.mark.parametrize(("table", "column"), TEXTS)
async def test_a_damaged_text_holds_up_nobody(house: SqliteHouse, table: str, column: str, *, is_running: bool) -> None:
    queue = await house.open()
    for key in (KEY, OTHER):
        await released(queue, output(key))
    if not is_running:
        await house.crash()
    damage(house.data_dir, table, column)
    if not is_running:
        queue = await house.open()
    assert len((await queue.page(JobQuery())).jobs) >= 1
    work = await queue.take_work(9, START)
    keys = {place.spec.placement.destination.key for claim in work.claims for place in claim.outputs}
    assert OTHER in keys
    if not is_running:
        assert keys == {KEY, OTHER}
    for claim in work.claims:
        assert await queue.settle(ended(claim, "delivered"), START)
    assert len((await queue.page(JobQuery())).jobs) == 2


@pytest.mark.parametrize(("column", "left"), [("id", 1), ("principal", 2), ("state", 2)])
async def test_a_damaged_text_of_an_upload_holds_up_nobody(house: SqliteHouse, column: str, left: int) -> None:
    queue = await house.open()
    for upload_id, key in (("0" * 32, KEY), ("f" * 32, OTHER)):
        picture = received(sent_source("photo.jpg"), upload_id, bytes(32))
        await queue.reserve_upload(KeptUpload(upload_id, "", 1), START)
        entry = await queue.enqueue(msgspec.structs.replace(new_job(output(key)), source=picture), START)
        assert isinstance(entry, Accepted)
        await queue.refuse(entry.number, (), "destination_refused", "", START)
    await house.crash()
    db = apsw.Connection(str(house.data_dir / FILE_NAME))
    db.execute(f"UPDATE upload SET {column} = CAST(X'78C378' AS TEXT) WHERE id < 'f'")
    db.close()
    queue = await house.open()
    assert len(await queue.uploads()) == left
    released = await queue.release_uploads(START)
    assert (len(released), "f" * 32 in released) == (left, True)
    await queue.forget_uploads(released)
    assert await queue.release_uploads(START + 1e9) == ()


async def test_a_damaged_text_of_a_failed_job_keeps_its_entry(house: SqliteHouse) -> None:
    queue = await house.open()
    await failed(queue)
    await house.crash()
    damage(house.data_dir, "job", "traceparent")
    damage(house.data_dir, "output", "detail")
    (owed,) = await due_entries(await house.open())
    assert owed.output.spec == output()


async def told(house: SqliteHouse) -> Message:
    """The webhook of a job that has succeeded; no server has the file any more."""
    queue = await house.open()
    job = msgspec.structs.replace(new_job(), webhook=Webhook("https://hook.test/in"))
    entry = await queue.enqueue(job, START)
    assert isinstance(entry, Accepted)
    await hold(queue, entry)
    await queue.activate(entry.number, states_of(entry), START)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    [owed] = await due_entries(queue)
    assert owed.message is not None
    await house.crash()
    return owed.message


@pytest.mark.parametrize("column", ["kind", "message_id", "target"])
async def test_a_damaged_text_of_a_webhook_keeps_its_bytes(house: SqliteHouse, column: str) -> None:
    message = await told(house)
    damage(house.data_dir, "outbox", column)
    [owed] = await due_entries(await house.open())
    assert owed.message is not None
    assert owed.message.body == message.body
    expected = "msg_78c378" if column == "message_id" else message.id
    assert owed.message.id == expected


@pytest.mark.parametrize(("table", "column"), [("job", "webhook"), ("outbox", "payload")])
@pytest.mark.parametrize("stored", GARBAGE)
async def test_a_webhook_that_cannot_be_read_is_abandoned(
    house: SqliteHouse, table: str, column: str, stored: bytes
) -> None:
    await told(house)
    spoil(house.data_dir, table, column, stored)
    queue = await house.open()
    assert await due_entries(queue) == ()
    counts = await queue.counts()
    assert (counts.webhooks, counts.webhooks_abandoned, counts.placeholders_left) == (0, 1, 0)
    [job] = (await queue.page(JobQuery())).jobs
    assert [each.state for each in await queue.webhook_log(job.id)] == ([] if table == "outbox" else ["abandoned"])
    assert (job.webhook is None) == (table == "job")


async def test_a_webhook_that_cannot_be_read_keeps_no_job_from_its_end(house: SqliteHouse) -> None:
    queue = await house.open()
    await released(queue)
    await house.crash()
    spoil(house.data_dir, "job", "webhook", b"{")
    queue = await house.open()
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    [job] = (await queue.page(JobQuery())).jobs
    assert (job.status, job.webhook, (await queue.counts()).webhooks) == ("succeeded", None, 0)


async def test_a_damaged_type_of_an_event_keeps_nobody_from_the_others(house: SqliteHouse) -> None:
    queue = await house.open()
    await failed(queue)
    damage(house.data_dir, "event", "type")
    page = await queue.events_after(EventQuery(0), START)
    assert [event.type for event in page.events][1:] == ["job.accepted", "job.started", "output.failed", "job.failed"]


async def test_a_damaged_lock_and_owner_keep_no_server_from_its_start(house: SqliteHouse) -> None:
    queue = await house.open()
    await hold(queue, await accepted(queue))
    await house.crash()
    db = apsw.Connection(str(house.data_dir / FILE_NAME))
    db.execute("UPDATE destination SET key = CAST(X'78C378' AS TEXT)")
    db.execute("UPDATE owner SET id = CAST(X'78C378' AS TEXT)")
    db.close()
    queue = await house.open()
    assert queue.id == "78C378"
    await released(queue, output(OTHER))
    assert len((await queue.take_work(9, START + 100)).claims) == 2


@pytest.mark.parametrize("stored", [garbage for garbage in GARBAGE if garbage != b"[]"])
async def test_warnings_that_cannot_be_read_are_left_out(house: SqliteHouse, stored: bytes) -> None:
    queue = await spoiled(house, "output", "warnings", stored)
    assert [job.warnings for job in (await queue.page(JobQuery())).jobs] == [()] * 2
