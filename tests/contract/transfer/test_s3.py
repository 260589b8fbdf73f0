"""Objects in buckets: what conditions and marks do, also when answers are lost. moto, alone and behind other habits."""

import asyncio
import threading
from collections.abc import Callable, Iterable

import msgspec
import pytest

from imgserve.request.access import Access
from imgserve.transfer.faults import (
    DeliveryFailed,
    DeliveryUnknown,
    NewerThere,
    NotOurs,
)
from tests.support.buckets import Environ, ObjectStore, StartResponse, in_bucket
from tests.support.habits import KEY, Bench, Flaky, Habit, bench, error, of, swallow
from tests.support.transfers import deliver_bytes


async def test_an_object_says_what_it_is(plain: Bench) -> None:
    await plain.deliver(b"placeholder", of(7, "placeholder", 0))
    first = plain.store.get(KEY)
    await plain.deliver(b"picture", of(7, "final"))
    last = plain.store.get(KEY)
    assert first is not None
    assert last is not None
    assert first.headers["content-type"] == last.headers["content-type"] == "image/png"
    assert (first.headers["x-amz-meta-imgserve-state"], first.headers["cache-control"]) == ("placeholder", "no-store")
    assert (last.headers["x-amz-meta-imgserve-state"], last.headers.get("cache-control")) == ("final", None)
    assert (first.mark, last.mark) == ("q-o7-0", "q-o7-1")


async def test_the_final_goes_under_the_placeholders_etag_without_a_look() -> None:
    habit = Habit()
    async with bench(habit) as it:
        etag = await it.deliver(b"placeholder", of(7, "placeholder", 0))
        habit.seen.clear()
        await it.deliver(b"picture", of(7, "final", etag=etag))
        assert habit.seen == [("PUT", etag, "final")]
        assert it.body == b"picture"


async def test_headers_of_the_job(plain: Bench) -> None:
    headers = (("Cache-Control", "public, max-age=9"), ("Content-Disposition", "inline"), ("X-Amz-Meta-Shop", "4711"))
    place = msgspec.structs.replace(in_bucket(f"{plain.store.url}/{KEY}"), access=Access(headers))
    kept = ("cache-control", "content-disposition", "x-amz-meta-shop")
    for order, caching in ((of(7, "placeholder", 0), "no-store"), (of(7, "final"), "public, max-age=9")):
        await deliver_bytes(plain.transfers, place, b"picture", order)
        found = plain.store.get(KEY)
        assert found is not None
        assert [found.headers[name] for name in kept] == [caching, "inline", "4711"]


async def test_a_large_result_goes_in_one_put(plain: Bench) -> None:
    await plain.deliver(b"x" * 6_000_000, of(7, "final"))
    assert {method for method, _ in plain.store.requests} == {"HEAD", "PUT"}
    assert plain.body == b"x" * 6_000_000


class Held(Habit):
    """Keeps the first conditional PUT of a placeholder until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.is_done = threading.Event()

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        if self.seen[-1][1:] != ("*", "placeholder"):
            return self.app(environ, start)
        self.go_on.wait(10)
        answer = list(self.app(environ, start))
        self.is_done.set()
        return answer


async def test_a_placeholder_that_arrives_late_is_refused_by_the_store() -> None:
    habit = Held()
    async with bench(habit) as it:
        with pytest.raises(DeliveryUnknown):
            await it.deliver(b"placeholder", of(7, "placeholder", 0, timeout_s=0.3))
        await it.deliver(b"picture", of(7, "final"))
        habit.go_on.set()
        assert await asyncio.to_thread(habit.is_done.wait, 5)
        assert it.body == b"picture"


@pytest.mark.parametrize("state", ["placeholder", "final", "failed"])
async def test_a_lost_answer_of_a_write_that_arrived(state: str) -> None:
    habit = Flaky("500 Internal Server Error", 1, is_done=True)
    async with bench(habit) as it:
        etag = await it.deliver(b"picture", of(7, state))
        assert habit.methods == "HEAD PUT PUT HEAD"
        found = it.store.get(KEY)
        assert found is not None
        assert found.headers["etag"] == etag


async def test_a_write_that_was_lost_is_sent_again() -> None:
    habit = Flaky("503 Slow Down", 1, is_done=False)
    async with bench(habit) as it:
        await it.deliver(b"picture", of(7, "final"))
        assert habit.methods == "HEAD PUT PUT HEAD PUT PUT"
        assert it.body == b"picture"


async def test_a_store_in_trouble_leaves_the_outcome_open() -> None:
    async with bench(Flaky("503 Slow Down", 99, is_done=False)) as it:
        with pytest.raises(DeliveryUnknown):
            await it.deliver(b"picture", of(7, "final"))


class Meddling(Habit):
    """Has ``writes`` done by others just before the conditional PUTs, one before each."""

    def __init__(self, *writes: Callable[[ObjectStore], None]) -> None:
        super().__init__()
        self.store: ObjectStore
        self.writes = list(writes)

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        method, condition, _ = self.seen[-1]
        if method == "PUT" and condition != '"imgserve"' and self.writes:
            self.writes.pop(0)(self.store)
        return self.app(environ, start)


def foreign(store: ObjectStore) -> None:
    store.put(KEY, b"somebody else's")


def ours(output: int, state: str) -> Callable[[ObjectStore], None]:
    def put(store: ObjectStore) -> None:
        store.put(KEY, b"ours", **marks(f"q-o{output}-1", state))

    return put


def marks(write: str, state: str) -> dict[str, str]:
    return {"x-amz-meta-imgserve-write": write, "x-amz-meta-imgserve-state": state}


@pytest.mark.parametrize("meddler", [foreign, ours(6, "final"), ours(6, "placeholder"), ours(7, "failed")])
@pytest.mark.parametrize("state", ["placeholder", "final"])
async def test_what_came_in_between_is_overwritten(meddler: Callable[[ObjectStore], None], state: str) -> None:
    habit = Meddling(meddler)
    async with bench(habit) as it:
        habit.store = it.store
        await it.deliver(b"picture", of(7, state))
        assert it.body == b"picture"


@pytest.mark.parametrize("state", ["placeholder", "final", "failed"])
@pytest.mark.parametrize("newer", ["placeholder", "final", "failed"])
async def test_a_newer_job_that_came_in_between_supersedes(state: str, newer: str) -> None:
    habit = Meddling(ours(8, newer))
    async with bench(habit) as it:
        habit.store = it.store
        with pytest.raises(NewerThere):
            await it.deliver(b"picture", of(7, state))
        assert it.body == b"ours"


async def test_a_newer_job_that_came_with_a_lost_answer_supersedes() -> None:
    class Losing(Meddling):
        def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
            if len(self.writes) == 1 and self.seen[-1][1] == "*":
                swallow(environ)
                self.writes.pop()(self.store)
                return error(start, "503 Slow Down")
            return super().behave(environ, start)

    habit = Losing(ours(8, "placeholder"))
    async with bench(habit) as it:
        habit.store = it.store
        with pytest.raises(NewerThere):
            await it.deliver(b"picture", of(7, "final"))
        assert it.body == b"ours"


async def test_a_mark_that_others_have_made_up_is_none(plain: Bench) -> None:
    for mark in ("", "q", "q-o9-1-", "q-o-1", "-o9-1", f"q-o{'9' * 1_000}-1"):
        plain.store.put(KEY, b"theirs", **marks(mark, "final"))
        await plain.deliver(b"picture", of(7, "final"))
        assert plain.body == b"picture"


async def test_others_that_write_all_the_time_are_a_fault_that_passes() -> None:
    habit = Meddling(*(lambda store, n=n: store.put(KEY, b"%d" % n) for n in range(9)))
    async with bench(habit) as it:
        habit.store = it.store
        with pytest.raises(DeliveryFailed) as caught:
            await it.deliver(b"picture", of(7, "final"))
        assert caught.value.is_retryable


async def test_a_failure_picture_replaces_makeshift_pictures_of_this_server_alone(plain: Bench) -> None:
    for put in (ours(7, "placeholder"), ours(3, "failed")):
        put(plain.store)
        await plain.deliver(b"failed", of(7, "failed", 2))
        assert plain.body == b"failed"
    for put in (foreign, ours(7, "final"), lambda store: store.put(KEY, b"x", **marks("p-o1-1", "placeholder"))):
        put(plain.store)
        before = plain.body
        with pytest.raises(NotOurs):
            await plain.deliver(b"failed", of(7, "failed", 2))
        with pytest.raises(NotOurs):
            await plain.delete(of(7, "failed", 2))
        assert plain.body == before


async def test_a_failure_picture_does_not_come_back_after_its_placeholder_was_deleted(plain: Bench) -> None:
    etag = await plain.deliver(b"placeholder", of(7, "placeholder", 0))
    plain.store.clear()
    with pytest.raises(NotOurs):
        await plain.deliver(b"failed", of(7, "failed", etag=etag))
    assert plain.body is None
    await plain.deliver(b"failed", of(7, "failed"))  # it is not known whether there was a placeholder
    assert plain.body == b"failed"


async def test_deletion(plain: Bench) -> None:
    await plain.deliver(b"placeholder", of(7, "placeholder", 0))
    await plain.delete(of(7, "failed"))
    assert plain.body is None
    await plain.delete(of(7, "failed"))


async def test_a_placeholder_of_a_newer_job_that_was_refused_is_overwritten(plain: Bench) -> None:
    etag = await plain.deliver(b"placeholder", of(7, "placeholder", 0))
    ours(8, "placeholder")(plain.store)
    await plain.deliver(b"picture", of(7, "final", etag=etag))
    assert plain.body == b"picture"


@pytest.mark.parametrize(
    ("put", "is_foreign"),
    [(foreign, True), (ours(1, "final"), True), (ours(1, "placeholder"), False), (ours(9, "failed"), False)],
)
async def test_what_may_stay(plain: Bench, put: Callable[[ObjectStore], None], is_foreign: bool) -> None:
    place = in_bucket(f"{plain.store.url}/{KEY}")
    assert not await plain.transfers.is_foreign(place, of(7, "placeholder"))
    put(plain.store)
    assert await plain.transfers.is_foreign(place, of(7, "placeholder")) == is_foreign
