"""Several nodes on one database: what one of them stores, the others hear at once, without asking for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import psycopg
import pytest

from imgserve.clock import Clock
from imgserve.jobs.config import Config
from imgserve.jobs.event_views import EventQuery
from imgserve.jobs.model import Intent
from imgserve.jobs.postgres import signals
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.protocol import Queue
from tests.support.postgres import Postgres
from tests.support.postgres_nodes import Nodes, nodes_of
from tests.support.queues import (
    BUSY,
    GRANTED,
    LOST,
    START,
    accepted,
    claimed,
    ended,
    final_of,
    output,
    placeholder_of,
    released,
    states_of,
    waiting,
)
from tests.support.sizes import FOREVER_S, PATIENCE_S

PLACES = ("http://place.test:80/a.png", "http://place.test:80/b.png")
LATER = START + Config().lease_s + 1


@pytest.fixture
async def nodes(postgres: Postgres) -> AsyncIterator[Nodes]:
    async with nodes_of(postgres) as opened:
        yield opened


async def woken(waiting: Coroutine[Any, Any, object], *causes: Coroutine[Any, Any, object]) -> None:
    """``waiting``, which would take an hour, returns because of these."""
    task = asyncio.create_task(waiting)
    await asyncio.sleep(0.05)
    assert not task.done()
    for cause in causes:
        await cause
    await asyncio.wait_for(task, PATIENCE_S)


async def quiet(wait: Callable[[float], Awaitable[None]]) -> None:
    """Wait for all that is still on its way from what was done before."""
    loop = asyncio.get_running_loop()
    is_quiet = False
    while not is_quiet:
        began_at = loop.time()
        await wait(0.2)
        is_quiet = loop.time() - began_at >= 0.2


async def test_a_job_of_one_node_wakes_the_runner_of_another(nodes: Nodes) -> None:
    api, runner = await nodes.open("api"), await nodes.open("runner")
    await quiet(runner.wait_for_work)
    entry = await accepted(api)
    await woken(runner.wait_for_work(FOREVER_S), api.activate(entry.number, states_of(entry), START))
    assert (await claimed(runner)).number == entry.number


async def test_a_job_that_its_own_node_takes_at_once_wakes_no_other(nodes: Nodes) -> None:
    one, other = await nodes.open(), await nodes.open()
    entry = await accepted(one)
    await quiet(other.wait_for_work)
    listening = asyncio.create_task(other.wait_for_work(FOREVER_S))
    _, work = await asyncio.gather(one.activate(entry.number, states_of(entry), START), one.take_work(1, START))
    assert [claim.number for claim in work.claims] == [entry.number]
    await asyncio.sleep(0.2)
    assert not listening.done()
    listening.cancel()


async def test_jobs_beyond_the_room_of_their_node_wake_another(nodes: Nodes) -> None:
    one, other = await nodes.open(), await nodes.open()
    entries = [await accepted(one, output(key, is_bare=True)) for key in PLACES]
    await quiet(other.wait_for_work)

    async def activate_and_take() -> None:
        activations = (one.activate(entry.number, (), START) for entry in entries)
        await asyncio.gather(*activations, one.take_work(1, START))

    await woken(other.wait_for_work(FOREVER_S), activate_and_take())
    assert (await claimed(other)).number == entries[1].number


async def test_a_free_destination_wakes_the_writer_of_another_node(nodes: Nodes) -> None:
    one, other = await nodes.open(), await nodes.open()
    older = await waiting(one)
    assert await one.acquire(placeholder_of(older), START) == GRANTED
    newer = await accepted(other)
    assert await other.acquire(placeholder_of(newer), START) == BUSY
    await other.until_free(placeholder_of(newer).key, 0.3)  # what came before it was known to wait
    assert await other.acquire(placeholder_of(newer), START) == BUSY
    await woken(
        other.until_free(placeholder_of(newer).key, FOREVER_S), one.activate(older.number, states_of(older), START)
    )
    assert await other.acquire(placeholder_of(newer), START) == GRANTED


async def test_the_end_of_a_job_is_heard_where_it_is_awaited(nodes: Nodes) -> None:
    api, runner = await nodes.open("api"), await nodes.open("runner")
    entry = await released(api)
    claim = await claimed(runner)
    await woken(api.until_ended(entry.id, FOREVER_S), runner.settle(ended(claim, "delivered"), START))


async def test_a_node_that_comes_later_learns_what_is_awaited(nodes: Nodes) -> None:
    api = await nodes.open("api")
    entry = await released(api)
    waiting = asyncio.create_task(api.until_ended(entry.id, FOREVER_S))
    runner = await nodes.open("runner")
    await asyncio.sleep(0.2)
    await runner.settle(ended(await claimed(runner), "delivered"), START)
    await asyncio.wait_for(waiting, PATIENCE_S)


async def test_events_of_one_node_wake_the_readers_of_another(nodes: Nodes) -> None:
    api, runner = await nodes.open("api"), await nodes.open("runner")
    entry = await released(api)
    with api.watch_events(job_id=entry.id) as watch, api.watch_events(principal="nobody") as others:
        await quiet(watch.until_more)
        await runner.heartbeat((), START)  # its first commit since then may have been under way
        for one in (watch, others):
            await quiet(one.until_more)
        seen = await api.newest_event()
        missing = asyncio.create_task(others.until_more(FOREVER_S))
        await woken(watch.until_more(FOREVER_S), claimed(runner))
        page = await api.events_after(EventQuery(seen), START)
        assert [event.type for event in page.events] == ["job.started"]
        assert not missing.done()
        missing.cancel()


async def test_a_cancelled_job_is_heard_of_where_it_runs(nodes: Nodes) -> None:
    api, runner = await nodes.open("api"), await nodes.open("runner")
    entry = await released(api)
    claim = await claimed(runner)
    suspects = asyncio.create_task(runner.until_suspect())
    await api.cancel(entry.id, START)
    assert await asyncio.wait_for(suspects, PATIENCE_S) == {entry.number}
    assert await runner.heartbeat((claim,), START) == frozenset()


async def test_a_write_that_another_node_waits_for_is_to_be_broken_off_there(nodes: Nodes) -> None:
    one, other = await nodes.open(), await nodes.open()
    heard: asyncio.Future[Intent] = asyncio.get_running_loop().create_future()
    one.when_newer(heard.set_result)
    newer = Intent(7, 8, 9, "http://place.test:80/ä.png", "final", "ann")
    other.break_off(newer)
    assert await asyncio.wait_for(heard, PATIENCE_S) == newer


async def test_a_dead_node_is_taken_over_by_one_of_the_others(nodes: Nodes) -> None:
    dead, one, other = await nodes.open(), await nodes.open(), await nodes.open()
    running, unanswered = await released(dead), await accepted(dead, output(PLACES[1]))
    claim = await claimed(dead)
    assert await dead.acquire(final_of(claim), START) == GRANTED
    for node in (one, other):
        await node.heartbeat((), LATER - 2)
    await asyncio.gather(one.heartbeat((), LATER), other.heartbeat((), LATER))
    assert nodes.execute("SELECT count(*) FROM node") == [(2,)]
    work = await one.take_work(2, LATER + Config().quiet_s)
    taken = {(again.number, again.token) for again in work.claims}
    assert taken == {(running.number, claim.token + 1), (unanswered.number, 1)}


async def test_a_takeover_wakes_a_writer_that_waits_for_the_destination(nodes: Nodes) -> None:
    dead, other = await nodes.open(), await nodes.open()
    await released(dead)
    assert await dead.acquire(final_of(await claimed(dead)), START) == GRANTED
    newer = placeholder_of(await accepted(other))

    async def until_free(seconds: float) -> None:
        assert await other.acquire(newer, START) == BUSY
        await other.until_free(newer.key, seconds)

    await quiet(until_free)
    await woken(until_free(FOREVER_S), other.heartbeat((), LATER))


async def test_a_node_that_was_taken_over_starts_no_write_and_goes_on_as_another(nodes: Nodes) -> None:
    frozen, other = await nodes.open(), await nodes.open()
    await released(frozen)
    place = output(PLACES[1])
    claim, taken_in = await claimed(frozen), await accepted(frozen, place)
    await other.heartbeat((), LATER)
    assert await frozen.acquire(final_of(claim), LATER) == LOST
    assert await frozen.acquire(placeholder_of(taken_in, place=place), LATER) == LOST
    assert await frozen.heartbeat((claim,), LATER) == frozenset()
    assert not await frozen.settle(ended(claim, "delivered"), LATER)
    entry = await accepted(frozen, now=LATER)
    assert nodes.execute("SELECT count(*) FROM job JOIN node USING (epoch) WHERE number = %s", entry.number) == [(1,)]


async def test_a_node_that_leaves_is_taken_over_at_once(nodes: Nodes) -> None:
    leaving, staying = await nodes.open(now=Clock()), await nodes.open(now=Clock(), config=Config(quiet_s=0.0))
    now = Clock()()
    entry = await released(leaving, now=now)
    claim = await claimed(leaving, now)
    await quiet(staying.wait_for_work)
    await woken(staying.wait_for_work(FOREVER_S), nodes.leave(leaving))
    again = await claimed(staying, now)
    assert (again.number, again.token) == (entry.number, claim.token + 1)


async def test_what_came_while_a_node_could_not_listen_is_looked_for(nodes: Nodes) -> None:
    api, runner = await nodes.open("api"), await nodes.open("runner")
    await quiet(runner.wait_for_work)
    entry = await accepted(api)

    async def cut_and_activate() -> None:
        for backend in nodes.listening():
            nodes.execute("SELECT pg_terminate_backend(%s, 10000)", backend)
        await api.activate(entry.number, states_of(entry), START)

    await woken(runner.wait_for_work(FOREVER_S), cut_and_activate())
    assert (await claimed(runner)).number == entry.number


async def test_a_node_without_its_connection_for_signals_is_heard_all_the_same(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = await nodes.open("runner")
    with monkeypatch.context() as patched:
        patched.setattr(signals, "LISTEN", "SELECT no_such_function()")
        api = await PostgresQueue.open(nodes.address, Config(), START)
        await asyncio.sleep(0.1)
    entry = await accepted(api)
    await quiet(runner.wait_for_work)
    await woken(runner.wait_for_work(FOREVER_S), api.activate(entry.number, states_of(entry), START))
    await api.aclose()


async def test_without_listen_the_queue_is_read_again_and_again(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "POLL_S", 0.1)
    one = await nodes.open()
    monkeypatch.setattr(signals, "LISTEN", "LISTEN NOT HERE")
    other = await PostgresQueue.open(nodes.address, Config(), START)
    entry = await accepted(one)
    await one.activate(entry.number, states_of(entry), START)
    await asyncio.wait_for(other.wait_for_work(FOREVER_S), PATIENCE_S)
    assert (await claimed(other)).number == entry.number
    await other.aclose()


async def test_an_event_of_a_late_commit_has_a_higher_number_than_all_that_were_seen(nodes: Nodes) -> None:
    one, other = await nodes.open(), await nodes.open()
    first, second = await released(one), await released(other)
    seen = await one.newest_event()
    with psycopg.connect(nodes.address.url) as slow:
        add = "INSERT INTO imgserve.event (job, at, type) VALUES (%s, %s, 'job.started')"
        slow.execute(add, (first.number, START))
        await other.cancel(second.id, START)
        page = await one.events_after(EventQuery(seen), START)
        assert [event.job_id for event in page.events] == [second.id]
        slow.commit()
    late = await other.events_after(EventQuery(page.events[-1].number), START)
    assert [(event.job_id, event.type) for event in late.events] == [(first.id, "job.started")]


async def test_idle_nodes_ask_the_database_nothing(nodes: Nodes, postgres: Postgres) -> None:
    queues = [await nodes.open(now=Clock()) for _ in range(3)]
    loops = [asyncio.create_task(loop) for queue in queues for loop in (claims(queue), entries(queue))]
    async with asyncio.timeout(PATIENCE_S):
        before: dict[object, object] = {}
        while before != (now := last_statements(nodes, postgres)):
            before = now
            await asyncio.sleep(2.0)
    assert len(before) >= 3
    for loop in loops:
        loop.cancel()


async def claims(queue: Queue) -> None:
    """As the runner does."""
    clock = Clock()
    while True:
        work = await queue.take_work(1, clock())
        await queue.wait_for_work(FOREVER_S if work.due_at is None else work.due_at - clock())


async def entries(queue: Queue) -> None:
    clock = Clock()
    while True:
        work = await queue.take_outbox(1, clock())
        await queue.wait_for_outbox(FOREVER_S if work.due_at is None else work.due_at - clock())


def last_statements(nodes: Nodes, postgres: Postgres) -> dict[object, object]:
    """When each connection to the nodes' database last sent a statement, by the process that serves it."""
    name = nodes.address.url.rpartition("/")[2].partition("?")[0]
    asked = (
        f"SELECT pid, query_start FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = '{name}'"
    )
    return {process: at for process, at in postgres.execute(asked)}
