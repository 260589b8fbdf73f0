"""What operators see of a queue: lists, pages, single jobs; never a secret."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import msgspec
import pytest

from imgserve.jobs.faults import NoSuchJob
from imgserve.jobs.model import Accepted, JobStatus, OutputResult, PlaceholderResult, Settlement
from imgserve.jobs.protocol import Queue
from imgserve.jobs.views import ErrorView, JobQuery, JobView, SourceView
from imgserve.request.protocols import DestinationKind
from imgserve.request.source import Source
from imgserve.request.warning import OutputWarning
from tests.support.queues import KEY, SOURCE, START, claimed, ended, moved, new_job, output, released, states_of
from tests.support.sizes import FOREVER_S, PATIENCE_S
from tests.support.states import one_of_each, only

DAY_S = 86_400.0


async def listed(queue: Queue, *statuses: JobStatus, destination: str = "", before: float | None = None) -> list[int]:
    page = await queue.page(JobQuery(statuses, destination, before))
    assert page.next is None
    return [job.number for job in page.jobs]


async def test_newest_first_and_by_status(queue: Queue) -> None:
    jobs = await one_of_each(queue)
    assert await listed(queue) == sorted(jobs.values(), reverse=True)
    for status, number in jobs.items():
        assert await listed(queue, status) == [number]
        assert (await only(queue, number)).status == status
    assert await listed(queue, "failed", "queued") == [jobs["queued"], jobs["failed"]]


async def test_by_age_and_by_destination(queue: Queue) -> None:
    jobs = await one_of_each(queue)
    assert await listed(queue, before=START + 2.5) == [jobs["failed"], jobs["succeeded"], jobs["superseded"]]
    assert await listed(queue, "succeeded", before=START + 0.5) == []
    assert await listed(queue, destination="/b.png") == [jobs["failed"]]
    assert await listed(queue, "cancelled", "running", destination="png1") == [jobs["cancelled"]]
    assert await listed(queue, destination="%") == []


@pytest.mark.parametrize(
    ("kind", "posted", "shown"),
    [
        ("put", "http://me:hush@PLACE.test/a/%7Eb.png?key=hush", "http://PLACE.test/a/%7Eb.png?..."),
        ("put", "https://place.test:443/b.png", "https://place.test:443/b.png"),
        ("ftp", "ftp://me:hush@place.test/%2Fsrv/b.png", "ftp://place.test/%2Fsrv/b.png"),
        ("file", "file:///srv/out//b c.png", "file:///srv/out//b c.png"),
        ("form", "http://me:hush@place.test/up?key=hush:b.png", "http://place.test/up?...:b.png"),
        ("form", "http://place.test:b.png", "http://place.test:b.png"),
    ],
)
async def test_a_destination_is_shown_and_found_as_it_was_posted(
    queue: Queue, kind: DestinationKind, posted: str, shown: str
) -> None:
    """Not by the key that tells whether two are one place; and a secret is neither shown nor found."""
    usual = output(f"{KEY}b.png", kind)
    spelt = moved(usual, msgspec.structs.replace(usual.placement.destination, shown=posted))
    entry = await released(queue, spelt)
    await released(queue, output(f"{KEY}other.png"))
    assert (await only(queue, entry.number)).outputs[0].destination == shown
    for piece in (shown, shown[3:-3], f"{KEY}b.png"):
        assert await listed(queue, destination=piece) == [entry.number], piece
    assert await listed(queue, destination="hush") == []


async def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one(queue: Queue) -> None:
    for job_id in ("ab01" + "0" * 28, "ab02" + "f" * 28):
        await queue.enqueue(msgspec.structs.replace(new_job(output(f"{KEY}{job_id}")), id=job_id), START)
    assert (await queue.job("ab02")).id == "ab02" + "f" * 28
    assert (await queue.job("ab01" + "0" * 28)).id == "ab01" + "0" * 28
    for job_id, words in (("ab", "several jobs have ids that begin"), ("ab03", "no job has an id"), ("", "no job")):
        with pytest.raises(NoSuchJob, match=words):
            await queue.job(job_id)


async def test_pages_follow_one_another(queue: Queue) -> None:
    numbers = [(await released(queue, output(f"{KEY}{i}"))).number for i in range(7)]
    await queue.settle(ended(await claimed(queue), "failed"), START)
    seen: list[int] = []
    after: int | None = None
    for size in (3, 3, 1):
        page = await queue.page(JobQuery(after=after, limit=3))
        assert len(page.jobs) == size
        seen += [job.number for job in page.jobs]
        after = page.next
    assert (seen, after) == (numbers[::-1], None)


async def test_a_job_shows_no_secret(queue: Queue) -> None:
    source = Source("http://me:hush@s.test/a.png?token=hush&X-Amz-Signature=hush", "http", "s.test", 80, "/a.png")
    job = msgspec.structs.replace(new_job(output("http://place.test:80/up?key=hush#file:a.png", "form")), source=source)
    await queue.enqueue(job, START)
    seen = await queue.job(job.id)
    assert "hush" not in repr(seen)
    assert seen.source.url == "http://s.test/a.png?..."
    assert seen.outputs[0].destination == "http://place.test:80/up?...:a.png"
    assert (seen.outputs[0].width, seen.outputs[0].height, seen.outputs[0].format) == (8, 8, "png")


async def test_a_job_tells_what_went_wrong_and_when_it_is_tried_again(queue: Queue) -> None:
    entry = await released(queue)
    claim = await claimed(queue)
    again = OutputResult(claim.outputs[0].id, "retry", "attempt", START + 9, "x", "sentence", "remedy", True)
    await queue.settle(Settlement(claim.number, claim.token, (again,)), START)
    seen = await queue.job(entry.id)
    assert (seen.status, seen.error) == ("queued", ErrorView("x", "sentence", "remedy", True))
    place = seen.outputs[0]
    assert (place.status, place.attempts, place.crashes, place.error) == ("placeholder", 1, 0, seen.error)
    assert place.next_attempt_at == datetime.fromtimestamp(START + 9, UTC)
    failure = OutputResult(claim.outputs[0].id, "failed", "crash", error="y", detail="other")
    last = await claimed(queue, START + 9)
    await queue.settle(Settlement(last.number, last.token, (failure,)), START + 10)
    place = (await queue.job(entry.id)).outputs[0]
    assert (place.status, place.attempts, place.crashes, place.next_attempt_at) == ("failed", 2, 1, None)
    assert (place.error, place.owed) == (ErrorView("y", "other", "", False), "error_image")


async def test_a_job_shows_what_was_asked_and_what_was_delivered(queue: Queue) -> None:
    asked = msgspec.structs.replace(output(), name="card")
    job = msgspec.structs.replace(
        new_job(asked, output(f"{KEY}2", is_bare=True)), protocol="v1", priority="high", metadata={"order": "7"},
        principal="shop",
    )  # fmt: skip
    entry = await queue.enqueue(job, START)
    assert isinstance(entry, Accepted)
    seen = await queue.job(job.id)
    assert (seen.protocol, seen.priority, seen.metadata, seen.principal) == ("v1", "high", {"order": "7"}, "shop")
    assert (seen.status, seen.created_at.timestamp(), seen.deadline_at.timestamp()) == (
        "accepting", START, START + DAY_S,
    )  # fmt: skip
    assert seen.source == SourceView(SOURCE.url, "png", 16, 16, 1)
    assert (seen.superseded_by, seen.ended_at, seen.not_before, seen.retries) == (None, None, None, 0)
    assert [(place.name, place.placeholder, place.url) for place in seen.outputs] == [
        ("card", None, KEY),
        ("1", "none", f"{KEY}2"),
    ]
    await queue.activate(entry.number, (PlaceholderResult(entry.outputs[0].id, "written"),), START)
    claim = await claimed(queue)
    results = tuple(OutputResult(place.id, "delivered", size_bytes=9, sha256=b"\1" * 32) for place in claim.outputs)
    await queue.settle(Settlement(claim.number, claim.token, results), START + 4)
    for place in (await queue.job(job.id)).outputs:
        assert (place.status, place.size_bytes, place.sha256, place.attempts) == ("delivered", 9, "01" * 32, 1)
        assert (place.delivered_at, place.error, place.owed) == (datetime.fromtimestamp(START + 4, UTC), None, None)


@pytest.mark.parametrize(
    ("kind", "posted", "found"),
    [
        ("put", "https://me:hush@place.test/a%20b.png?key=hush", "https://place.test/a%20b.png"),
        ("put", "http://place.test:81/a.png", "http://place.test:81/a.png"),
        ("ftp", "ftp://place.test/a.png", None),
        ("file", "file:///srv/a.png", None),
        ("form", "http://place.test/up", None),
    ],
)
async def test_where_a_browser_finds_the_result(
    queue: Queue, kind: DestinationKind, posted: str, found: str | None
) -> None:
    usual = output(KEY, kind)
    entry = await released(
        queue, moved(usual, msgspec.structs.replace(usual.placement.destination, url=posted, shown=posted))
    )
    assert (await queue.job(entry.id)).outputs[0].url == found


async def test_others_see_less_than_the_operator(queue: Queue) -> None:
    entry = await released(queue)
    seen = await queue.job(entry.id)
    shown = msgspec.to_builtins(seen.public())
    assert type(seen.public()) is JobView
    everything = msgspec.to_builtins(seen)
    assert set(everything) - set(shown) == {"number", "principal"}
    assert set(everything["outputs"][0]) - set(shown["outputs"][0]) == {"crashes", "outbox"}
    assert shown == {name: everything[name] for name in shown} | {"outputs": shown["outputs"]}
    [listed_job] = (await queue.page(JobQuery())).jobs
    assert set(everything) - set(msgspec.to_builtins(listed_job)) == {"timeline"}


async def test_the_warnings_of_each_outputs_newest_picture(queue: Queue) -> None:
    entry = await released(queue, output(f"{KEY}1"), output(f"{KEY}2"))
    one, other, again = (OutputWarning("font_missing", detail) for detail in ("one", "other", "again"))
    expected: list[tuple[str, str, str]] = []
    for at, (warnings, shown) in enumerate(
        (
            ((None, (one, other)), [(1, "one"), (1, "other")]),
            (((one,), (again,)), [(0, "one"), (1, "again")]),
            ((None, None), [(0, "one"), (1, "again")]),  # no picture was made
            (((), (again,)), [(1, "again")]),
        )
    ):
        claim = await claimed(queue, START + at)
        results = tuple(
            OutputResult(place.id, "retry", due_at=START + at + 1, warnings=of_place)
            for place, of_place in zip(claim.outputs, warnings, strict=True)
        )
        settlement = Settlement(claim.number, claim.token, results)
        await queue.record(settlement, START + at)
        await queue.settle(settlement, START + at)
        expected = [(f"outputs[{index}]", "font_missing", detail) for index, detail in shown]
        seen = (await queue.job(entry.id)).warnings
        assert [(each.path, each.code, each.detail) for each in seen] == expected
    await queue.settle(ended(await claimed(queue, START + 9), "delivered"), START + 9)
    seen = (await queue.job(entry.id)).warnings
    assert [(each.path, each.code, each.detail) for each in seen] == expected


async def test_a_job_without_warnings_shows_an_empty_list(queue: Queue) -> None:
    entry = await released(queue)
    assert (await queue.job(entry.id)).warnings == ()


@pytest.mark.parametrize("destination", ["", "place.test"])
async def test_by_principal(queue: Queue, destination: str) -> None:
    numbers: dict[str, list[int]] = {"ann": [], "bob": [], "": []}
    for principal in ("ann", "bob", "ann", ""):
        job = msgspec.structs.replace(new_job(), principal=principal)
        numbers[principal].insert(0, (await queue.enqueue(job, START)).number)
    for principal, expected in numbers.items():
        page = await queue.page(JobQuery(destination=destination, principal=principal))
        assert [job.number for job in page.jobs] == expected
        first = await queue.page(JobQuery(destination=destination, principal=principal, limit=1))
        assert ([job.number for job in first.jobs], first.next is None) == (expected[:1], len(expected) == 1)
    assert len((await queue.page(JobQuery(destination=destination))).jobs) == 4


async def found(queue: Queue, query: JobQuery) -> list[int]:
    """All pages of it."""
    numbers: list[int] = []
    while True:
        page = await queue.page(query)
        numbers += [job.number for job in page.jobs]
        if page.next is None:
            return numbers
        query = msgspec.structs.replace(query, after=page.next)


async def test_by_the_beginning_of_a_destination(queue: Queue) -> None:
    usual = output()
    posted = "http://me:hush@PLACE.test/a/%7Eb.png"
    spelt = moved(usual, msgspec.structs.replace(usual.placement.destination, shown=posted, key=f"{KEY}/x"))
    first = (await released(queue, spelt)).number
    second = (await released(queue, output("http://place.test:80/b/2.png"), output(f"{KEY}3"))).number
    for prefix, numbers in (
        ("http://PLACE.test/a/", [first]),
        ("http://place.test:80/", [second, first]),
        ("http://place.test:80/b/", [second]),
        ("place.test", []),
        ("http://me:hush", []),
        ("http://PLACE.test/a/%7Eb.png.", []),
    ):
        assert await found(queue, JobQuery(destination_prefix=prefix, limit=1)) == numbers, prefix
    assert await found(queue, JobQuery(destination_prefix="http://place", destination="/2.png")) == [second]


async def test_between_two_times_and_of_a_principal_by_status(queue: Queue) -> None:
    numbers = []
    for number in range(12):
        job = msgspec.structs.replace(new_job(output(f"{KEY}{number}")), principal="ab"[number % 2])
        entry = await queue.enqueue(job, START + 100 * number)
        assert isinstance(entry, Accepted)
        numbers.append(entry.number)
        if number < 8:
            await queue.activate(entry.number, states_of(entry, *job.outputs), START + 100 * number)
            claim = await claimed(queue, START + 100 * number)
            await queue.settle(ended(claim, "delivered" if number < 4 else "failed"), START + 100 * number)
    query = JobQuery(created_after=START + 300, created_before=START + 1100, limit=2)
    assert await found(queue, query) == numbers[10:2:-1]
    assert await found(queue, msgspec.structs.replace(query, principal="a")) == numbers[10:2:-2]
    ended_ones = msgspec.structs.replace(query, statuses=("succeeded", "failed"))
    assert await found(queue, ended_ones) == numbers[7:2:-1]
    assert await found(queue, msgspec.structs.replace(ended_ones, principal="b")) == numbers[7:2:-2]
    assert await found(queue, JobQuery(created_after=START + 5000)) == []
    assert await found(queue, JobQuery(created_before=START)) == []


async def test_who_waits_for_an_end_goes_on_when_it_is_stored(queue: Queue) -> None:
    entry = await released(queue)
    await queue.until_ended(entry.id, 0.01)
    assert (await queue.job(entry.id)).ended_at is None
    waiters = [asyncio.create_task(queue.until_ended(entry.id, FOREVER_S)) for _ in range(3)]
    await asyncio.sleep(0.05)
    waiters.pop().cancel()
    claim = await claimed(queue)
    await queue.settle(ended(claim, "retry", retry_at=START + 1), START)
    await asyncio.sleep(0.05)
    assert not any(waiter.done() for waiter in waiters)
    await queue.settle(ended(await claimed(queue, START + 1), "delivered"), START + 1)
    await asyncio.wait_for(asyncio.gather(*waiters), PATIENCE_S)
    await asyncio.wait_for(queue.until_ended(entry.id, FOREVER_S), PATIENCE_S)
    await asyncio.wait_for(queue.until_ended("nobody", FOREVER_S), PATIENCE_S)
    assert (await queue.job(entry.id)).status == "succeeded"


async def test_a_superseded_job_names_the_newer_one(queue: Queue) -> None:
    old = await released(queue, output(), output(f"{KEY}2"))
    newer = await released(queue)
    assert (await queue.job(old.id)).superseded_by is None
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    last = await released(queue, output(f"{KEY}2"))
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    seen = await queue.job(old.id)
    assert (seen.status, [place.status for place in seen.outputs]) == ("superseded", ["superseded", "delivered"])
    assert seen.superseded_by == newer.id
    assert (await queue.job(last.id)).superseded_by is None


async def test_the_server_that_works_for_the_queue(queue: Queue) -> None:
    (first,) = await queue.nodes()
    assert (first.name, first.role) == (f"{os.uname().nodename}:{os.getpid()}", "all")
    assert (first.version, first.running, first.is_alive) == (version("imgserve"), 0, True)
    assert first.started_at == first.seen_at == datetime.fromtimestamp(START, UTC)
    await released(queue)
    claim = await claimed(queue)
    await queue.heartbeat((claim,), START + 5)
    (node,) = await queue.nodes()
    assert (node.running, node.seen_at - node.started_at) == (1, timedelta(seconds=5))
    assert await queue.settle(ended(claim, "delivered"), START + 5)
    (node,) = await queue.nodes()
    assert node.running == 0
