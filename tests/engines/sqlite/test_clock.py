"""Times that are stored, when the machine's clock was set or was off: due is what was due, and nothing owed is lost."""

from pathlib import Path

import apsw
import msgspec
import pytest

from imgserve.blob import Fingerprint
from imgserve.jobs.config import Config
from imgserve.jobs.event_views import EventBody, EventQuery
from imgserve.jobs.model import Accepted, PlaceholderResult
from imgserve.jobs.sqlite.clock import LAST_TRIES_S
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from imgserve.jobs.views import JobQuery
from imgserve.request.webhook import Webhook
from tests.support.queues import (
    START,
    accepted,
    claimed,
    due_entries,
    ended,
    failed,
    hold,
    new_job,
    output,
    released,
)
from tests.support.sqlite import SqliteHouse
from tests.unit.test_clock import HOUR, Machine

CONFIG = Config(min_free_disk_bytes=0)


class Servers:
    """Servers on one data directory, one after the other, on a machine whose clocks the test turns."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.machine = Machine()
        self.clock = self.machine.clock()
        self._queue: SqliteQueue | None = None

    async def start(self) -> SqliteQueue:
        await self.stop()
        self.clock = self.machine.clock()
        self._queue = await SqliteQueue.open(self.data_dir, CONFIG, self.clock)
        return self._queue

    async def stop(self) -> None:
        if self._queue is not None:
            await self._queue.aclose()
            self._queue = None


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    return Servers(tmp_path)


async def waiting_for_its_second_attempt(servers: Servers) -> SqliteQueue:
    queue = await servers.start()
    await released(queue, now=servers.clock())
    claim = await claimed(queue, servers.clock())
    await queue.settle(ended(claim, "retry", retry_at=servers.clock() + 8), servers.clock())
    return queue


@pytest.mark.parametrize("step_s", [5 * HOUR, -5 * HOUR, 73 * HOUR, -73 * HOUR])
@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_job_is_due_when_it_was(servers: Servers, step_s: float, *, is_restarted: bool) -> None:
    queue = await waiting_for_its_second_attempt(servers)
    servers.machine.wall_s += step_s
    if is_restarted:
        queue = await servers.start()
    servers.machine.pass_time(7)
    assert (await queue.take_work(1, servers.clock())).claims == ()
    servers.machine.pass_time(2)
    claim = await claimed(queue, servers.clock())
    assert claim.deadline_at == pytest.approx(servers.clock() - 9 + 86_400.0)
    await servers.stop()


async def test_a_reboot_with_a_clock_that_is_behind_waits_no_longer(servers: Servers) -> None:
    await waiting_for_its_second_attempt(servers)
    await servers.stop()
    servers.machine.reboot(-5 * HOUR)
    queue = await servers.start()
    servers.machine.pass_time(9)
    await claimed(queue, servers.clock())
    await servers.stop()


async def test_a_step_is_told_in_the_states_for_an_hour(servers: Servers) -> None:
    queue = await servers.start()
    assert list(queue.states()) == []
    servers.machine.wall_s -= 5 * HOUR
    [state] = queue.states()
    assert (state.name, state.severity) == ("clock_stepped", "notice")
    assert "-18000 s" in state.sentence
    queue = await servers.start()  # it has been noted, and is no step of this server's
    assert list(queue.states()) == []
    servers.machine.wall_s += HOUR
    assert len(list(queue.states())) == 1
    servers.machine.pass_time(HOUR + 1)
    assert list(queue.states()) == []
    await servers.stop()


async def test_people_see_times_of_the_wall_clock(servers: Servers) -> None:
    queue = await servers.start()
    await released(queue, now=servers.clock())
    servers.machine.wall_s += 5 * HOUR
    [job] = (await queue.page(JobQuery())).jobs
    assert job.created_at.timestamp() == pytest.approx(servers.machine.wall_s)
    assert (await queue.counts()).oldest_at == pytest.approx(servers.machine.wall_s)
    await servers.stop()


async def test_what_is_owed_past_its_time_gets_another_hour(servers: Servers) -> None:
    queue = await servers.start()
    await failed(queue, now=servers.clock())
    await servers.stop()
    servers.machine.reboot(73 * HOUR)
    queue = await servers.start()
    [owed] = await due_entries(queue, servers.clock())
    assert owed.until == servers.clock() + LAST_TRIES_S
    await servers.stop()


async def test_a_deadline_that_passed_meanwhile_is_now(servers: Servers) -> None:
    await waiting_for_its_second_attempt(servers)
    await servers.stop()
    servers.machine.reboot(73 * HOUR)
    queue = await servers.start()
    assert (await claimed(queue, servers.clock())).deadline_at == servers.clock()
    await servers.stop()


async def test_times_of_an_earlier_version_are_capped(tmp_path: Path) -> None:
    """Its server took the wall clock's word; that was five hours ahead, and has been put right."""
    house = SqliteHouse(tmp_path)
    queue = await house.open(START + 5 * HOUR)
    await released(queue, now=START + 5 * HOUR)
    claim = await claimed(queue, START + 5 * HOUR)
    await queue.settle(ended(claim, "retry", retry_at=START + 5 * HOUR + 8), START + 5 * HOUR)
    await house.crash()
    db = apsw.Connection(str(tmp_path / FILE_NAME))
    db.execute("UPDATE owner SET queue_s = NULL")
    db.close()
    machine = Machine()
    machine.wall_s = START
    clock = machine.clock()
    later = await SqliteQueue.open(tmp_path, CONFIG, clock)
    machine.pass_time(721)
    await claimed(later, clock())
    await later.aclose()


async def test_events_and_webhooks_show_the_wall_clocks_time(servers: Servers) -> None:
    """That of the moment at which they are written."""
    await servers.start()
    servers.machine.wall_s += 5 * HOUR
    queue, clock = await servers.start(), servers.clock
    job = msgspec.structs.replace(new_job(output(is_bare=True)), webhook=Webhook("https://hook.test/in"))
    entry = await queue.enqueue(job, clock())
    assert isinstance(entry, Accepted)
    await queue.activate(entry.number, (), clock())
    await queue.settle(ended(await claimed(queue, clock()), "delivered"), clock())
    [owed] = await due_entries(queue, clock())
    assert owed.message is not None
    [end] = (await queue.events_after(EventQuery(0, types=("job.succeeded",)), clock())).events
    times = [msgspec.json.decode(body, type=EventBody).timestamp for body in (owed.message.body, end.body)]
    assert [at.timestamp() for at in times] == [pytest.approx(servers.machine.wall_s, abs=0.01)] * 2
    await servers.stop()


async def test_what_a_file_took_for_a_placeholder_is_known_to_its_entry(house: SqliteHouse) -> None:
    queue = await house.open()
    fingerprint = Fingerprint.of(b"a placeholder")
    entry = await accepted(queue, output(kind="file"))
    await hold(queue, entry)
    await queue.activate(entry.number, (PlaceholderResult(entry.outputs[0].id, "written", fingerprint),), START)
    await queue.settle(ended(await claimed(queue), "failed"), START)
    [owed] = await due_entries(queue)
    assert owed.output.fingerprint == fingerprint


async def test_a_job_that_answers_for_another_ones_placeholder_knows_it_too(house: SqliteHouse) -> None:
    queue = await house.open()
    fingerprint = Fingerprint.of(b"a placeholder")
    older = await accepted(queue, output(kind="file"))
    await hold(queue, older)
    await queue.activate(older.number, (PlaceholderResult(older.outputs[0].id, "written", fingerprint),), START)
    bare = await accepted(queue, output(kind="file", is_bare=True))
    await queue.activate(bare.number, (), START)
    await queue.settle(ended(await claimed(queue), "failed"), START)
    [owed] = await due_entries(queue)
    assert (owed.number, owed.output.fingerprint) == (bare.number, fingerprint)
