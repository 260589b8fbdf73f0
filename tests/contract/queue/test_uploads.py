"""The rows of uploaded pictures: how long each is kept, and when a job or a retry comes too late."""

import asyncio

import msgspec
import pytest

from imgserve.jobs.faults import SourceGone
from imgserve.jobs.model import Accepted, NewJob, OutputResult, PlaceholderResult, ResultStatus, Settlement
from imgserve.jobs.protocol import KeptUpload, Queue, UploadBytes
from imgserve.request.source import Source, received, sent_source, upload_id_of
from tests.support.queues import START, House, claimed, ended, new_job, output
from tests.support.sizes import PATIENCE_S

DAY_S = 86_400.0
ID = "0123456789abcdef" * 2


def source(upload_id: str = ID) -> Source:
    return received(sent_source("photo.jpg"), upload_id, bytes(32))


def with_upload(upload_id: str = ID, key: str = "http://place.test:80/a.png") -> NewJob:
    job = new_job(output(key, is_bare=True))
    return msgspec.structs.replace(job, source=source(upload_id), source_bytes=700, principal="@shop")


def room(upload_id: str = ID, principal: str = "@shop", size_bytes: int = 900) -> KeptUpload:
    return KeptUpload(upload_id, principal, size_bytes)


async def stored(queue: Queue, job: NewJob) -> Accepted:
    if job.source.is_upload:
        await queue.reserve_upload(room(upload_id_of(job.source)), START)
    entry = await queue.enqueue(job, START)
    assert isinstance(entry, Accepted)
    return entry


async def uploaded(queue: Queue, job: NewJob | None = None) -> Accepted:
    entry = await stored(queue, job or with_upload())
    await queue.activate(entry.number, (), START)
    return entry


async def end(queue: Queue, status: ResultStatus, now: float = START) -> None:
    claim = await claimed(queue, now)
    assert claim.source == source()
    await queue.settle(ended(claim, status), now)


async def test_the_row_comes_with_the_job_and_outlives_the_server(house: House) -> None:
    queue = await house.open()
    await uploaded(queue)
    kept = (KeptUpload(ID, "@shop", 700),)
    assert await queue.uploads() == kept
    assert not await queue.drop_upload(ID, START)
    await queue.forget_uploads((ID,))
    queue = await house.open()
    assert await queue.uploads() == kept
    assert await queue.release_uploads(START + 9 * DAY_S) == ()


@pytest.mark.parametrize("status", ["delivered", "superseded"])
async def test_a_job_that_has_ended_well_needs_no_picture(queue: Queue, status: ResultStatus) -> None:
    await uploaded(queue)
    await end(queue, status)
    assert await queue.release_uploads(START) == (ID,)
    assert (await queue.uploads(), await queue.release_uploads(START)) == ((), ())
    assert await queue.upload_bytes("@shop") == UploadBytes(700, 700)
    await queue.forget_uploads((ID,))
    assert await queue.upload_bytes("@shop") == UploadBytes(0, 0)


async def test_neither_does_one_that_was_cancelled_or_refused(queue: Queue) -> None:
    entry = await uploaded(queue)
    await queue.cancel(entry.id, START)
    assert await queue.release_uploads(START) == (ID,)
    await queue.forget_uploads((ID,))
    refused = await stored(queue, with_upload("f" * 32))
    assert await queue.release_uploads(START + 9 * DAY_S) == ()
    await queue.refuse(refused.number, (), "delivery_failed", "", START)
    assert await queue.release_uploads(START) == ("f" * 32,)
    await queue.forget_uploads(("f" * 32,))
    # Its placeholder lies somewhere, so it stays as a failed job; which nobody can retry.
    job = msgspec.structs.replace(with_upload("e" * 32), outputs=(output(),))
    refused = await stored(queue, job)
    written = PlaceholderResult(refused.outputs[0].id, "written")
    await queue.refuse(refused.number, (written,), "delivery_failed", "", START)
    assert (await queue.job(refused.id)).status == "failed"
    assert await queue.release_uploads(START) == ("e" * 32,)


async def test_that_of_a_failed_job_is_kept_for_a_day_then_a_retry_is_too_late(queue: Queue) -> None:
    entry = await uploaded(queue)
    await end(queue, "failed")
    assert await queue.release_uploads(START + DAY_S - 1) == ()
    await queue.retry(entry.id, None, DAY_S, START + DAY_S - 1)
    assert await queue.release_uploads(START + DAY_S + 1) == ()
    await end(queue, "failed", START + DAY_S)
    assert await queue.release_uploads(START + 2 * DAY_S) == (ID,)
    with pytest.raises(SourceGone):
        await queue.retry(entry.id, None, DAY_S, START + 2 * DAY_S)
    assert (await queue.job(entry.id)).status == "failed"


async def test_of_a_job_that_goes_on_it_is_kept_though_an_output_has_failed(queue: Queue) -> None:
    job = msgspec.structs.replace(
        with_upload(), outputs=tuple(output(f"http://place.test:80/{name}.png", is_bare=True) for name in "ab")
    )
    await uploaded(queue, job)
    claim = await claimed(queue)
    first, second = claim.outputs
    results = (OutputResult(first.id, "failed"), OutputResult(second.id, "retry", due_at=START + 9))
    await queue.settle(Settlement(claim.number, claim.token, results), START)
    assert await queue.release_uploads(START + 9 * DAY_S) == ()


async def test_a_source_of_elsewhere_has_no_row(queue: Queue) -> None:
    await uploaded(queue, new_job(output(is_bare=True)))
    assert await queue.uploads() == ()
    claim = await claimed(queue)
    await queue.settle(ended(claim, "failed"), START)
    await queue.retry(claim.id, None, DAY_S, START + 9 * DAY_S)


async def test_room_counts_from_before_the_first_byte_until_the_last_one_is_deleted(queue: Queue) -> None:
    await queue.reserve_upload(room(), START)
    await queue.reserve_upload(room("f" * 32, "@other", 50), START)
    assert await queue.upload_bytes("@shop") == UploadBytes(900, 950)
    queue.resize_upload(ID, 600)
    await queue.reserve_upload(room("e" * 32, "@other", 1), START)
    assert await queue.upload_bytes("@shop") == UploadBytes(600, 651)
    assert (await queue.counts()).upload_bytes == 651
    assert await queue.drop_upload(ID, START)
    assert await queue.upload_bytes("@shop") == UploadBytes(600, 651)
    await queue.forget_uploads((ID, "no such id"))
    assert await queue.upload_bytes("@shop") == UploadBytes(0, 51)
    assert await queue.drop_upload(ID, START)


@pytest.mark.parametrize("is_dropped", [False, True])
async def test_a_job_that_comes_too_late_is_refused(queue: Queue, *, is_dropped: bool) -> None:
    """Its picture is deleted, or about to be."""
    await queue.reserve_upload(room(), START)
    if is_dropped:
        assert await queue.drop_upload(ID, START)
    else:
        assert await queue.release_uploads(START + 3599) == ()
        assert await queue.release_uploads(START + 3601) == (ID,)
    for _ in range(2):
        with pytest.raises(SourceGone):
            await queue.enqueue(with_upload(), START + 3601)
        await queue.forget_uploads((ID,))
    assert (await queue.counts()).accepting == 0


async def test_a_deletion_that_was_not_finished_is_begun_again(queue: Queue) -> None:
    await queue.reserve_upload(room(), START)
    assert await queue.drop_upload(ID, START)
    await uploaded(queue, with_upload("f" * 32))
    job = await claimed(queue)
    await queue.settle(ended(job, "delivered"), START)
    assert await queue.release_uploads(START + 1) == ("f" * 32,)
    assert await queue.release_uploads(START + 59) == ()
    assert set(await queue.release_uploads(START + 62)) == {ID, "f" * 32}


async def test_an_end_wakes_whoever_deletes_pictures(queue: Queue) -> None:
    await uploaded(queue)
    await queue.wait_for_uploads(0)
    waiting = asyncio.create_task(queue.wait_for_uploads(60))
    await asyncio.sleep(0)
    await end(queue, "delivered")
    await asyncio.wait_for(waiting, PATIENCE_S)
