"""The SQLite engine and its disk: group commit, the lock on the directory, a disk that will not have it."""

import asyncio
import resource
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import apsw
import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import QueueFault, QueueFull, StorageFailing
from imgserve.jobs.model import Accepted
from imgserve.jobs.protocol import Queue
from imgserve.jobs.sqlite.commits import Commits
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from imgserve.request.classic.spelling import number_of
from tests.support.queues import KEY, START, accepted, claimed, ended, new_job, output, released
from tests.support.sqlite import SqliteHouse

ROOMY = Config(min_free_disk_bytes=0)


@pytest.fixture
def house(tmp_path: Path) -> SqliteHouse:
    return SqliteHouse(tmp_path)


@pytest.fixture
async def queue(house: SqliteHouse) -> AsyncIterator[Queue]:
    yield await house.open()
    await house.crash()


def commits_in_wal(data_dir: Path) -> int:
    """Frames that end a commit (https://sqlite.org/fileformat2.html#walformat): their fifth to eighth byte is not 0."""
    wal = (data_dir / f"{FILE_NAME}-wal").read_bytes()
    page_bytes = struct.unpack_from(">I", wal, 8)[0]
    salts = wal[16:24]
    found = 0
    for at in range(32, len(wal) - 24, 24 + page_bytes):
        is_current = wal[at + 8 : at + 16] == salts
        found += is_current and struct.unpack_from(">I", wal, at + 4)[0] != 0
    return found


async def test_two_hundred_at_once_share_a_few_commits(queue: Queue, tmp_path: Path) -> None:
    before = commits_in_wal(tmp_path)
    entries = await asyncio.gather(*(accepted(queue, output(f"{KEY}{i}")) for i in range(200)))
    assert len({entry.number for entry in entries}) == 200
    assert len({tuple(place.id for place in entry.outputs) for entry in entries}) == 200
    assert 1 <= commits_in_wal(tmp_path) - before <= 4


async def test_what_was_answered_is_on_disk_for_everybody(queue: Queue, house: SqliteHouse) -> None:
    entry = await accepted(queue)
    assert house.statuses() == {entry.number: "accepting"}


async def test_one_that_is_refused_does_not_take_its_batch_along(house: SqliteHouse) -> None:
    queue = await house.open(config=Config(max_waiting=30, min_free_disk_bytes=0))
    ends = await asyncio.gather(*(queue.enqueue(new_job(), START) for _ in range(50)), return_exceptions=True)
    assert [type(end) for end in ends] == [Accepted] * 30 + [QueueFull] * 20
    assert len(house.statuses()) == 30
    await house.crash()


async def test_one_that_cannot_work_does_not_take_its_batch_along(
    queue: Queue, house: SqliteHouse, caplog: pytest.LogCaptureFixture
) -> None:
    """Ids are unique: the second of that name is a fault of ours, not of the disk's."""
    double = new_job()
    jobs = [new_job(), double, new_job(), msgspec.structs.replace(double, digest=b"x"), new_job()]
    ends = await asyncio.gather(*(queue.enqueue(job, START) for job in jobs), return_exceptions=True)
    assert [type(end) for end in ends] == [Accepted, Accepted, Accepted, QueueFault, Accepted]
    assert len(house.statuses()) == 4
    assert "ConstraintError" in caplog.text


async def test_a_batch_that_was_undone_counts_no_job_twice(house: SqliteHouse) -> None:
    """Its transactions run again, and the count of open jobs must have forgotten their first run."""
    queue = await house.open(config=Config(max_waiting=5, min_free_disk_bytes=0))
    double = new_job()
    jobs = [double, new_job(), msgspec.structs.replace(double, digest=b"x"), new_job()]
    ends = await asyncio.gather(*(queue.enqueue(job, START) for job in jobs), return_exceptions=True)
    assert [type(end) for end in ends] == [Accepted, Accepted, QueueFault, Accepted]
    await accepted(queue)
    queue.check_room("", b"", START, has_quota=False)
    await accepted(queue)
    with pytest.raises(QueueFull, match="5 jobs"):
        queue.check_room("", b"", START, has_quota=False)
    await house.crash()


async def test_a_fault_leaves_the_queue_working(queue: Queue) -> None:
    job = new_job()
    await queue.enqueue(job, START)
    with pytest.raises(QueueFault):
        await queue.enqueue(msgspec.structs.replace(job, digest=b"x"), START)
    await released(queue, output(f"{KEY}2"))
    assert await queue.settle(ended(await claimed(queue), "delivered"), START)


async def test_a_change_whose_caller_was_cancelled_stands(queue: Queue) -> None:
    entry = await accepted(queue)
    activating = asyncio.create_task(queue.activate(entry.number, (), START))
    await asyncio.sleep(0)
    activating.cancel()
    await asyncio.wait([activating])
    assert activating.cancelled()
    await queue.wait_for_work(60.0)
    assert (await claimed(queue)).number == entry.number


async def test_an_activation_and_the_claim_that_it_wakes_share_a_commit(queue: SqliteQueue, tmp_path: Path) -> None:
    entry = await accepted(queue)
    # A queue's first commit is followed by a count. Were it just ending, the activation would not wait for the claim.
    await queue._committer.run(lambda _: None)
    before = commits_in_wal(tmp_path)

    async def take_what_comes() -> list[int]:
        await queue.wait_for_work(60.0)
        return [claim.number for claim in (await queue.take_work(1, START)).claims]

    runner = asyncio.create_task(take_what_comes())
    await asyncio.sleep(0)
    await queue.activate(entry.number, (), START)
    assert await runner == [entry.number]
    assert commits_in_wal(tmp_path) == before + 1
    assert not queue._wakeups.work.is_set(), "a runner would be woken once more for nothing"


async def test_an_end_that_may_wait_shares_the_commit_of_another(queue: SqliteQueue, tmp_path: Path) -> None:
    for place in (f"{KEY}1", f"{KEY}2", f"{KEY}3"):
        await released(queue, output(place))
    first, second, third = (await queue.take_work(3, START)).claims
    await queue._committer.run(lambda _: None)
    before = commits_in_wal(tmp_path)
    waiting = asyncio.create_task(queue.settle(ended(first, "delivered"), START, 60.0))
    for _ in range(5):  # long enough for a commit to begin
        await asyncio.sleep(0)
    assert await queue.settle(ended(second, "delivered"), START)
    assert await waiting
    assert commits_in_wal(tmp_path) == before + 1
    assert await queue.settle(ended(third, "delivered"), START, 0.001), "it waits for no other for ever"


async def test_an_answer_that_comes_while_others_are_committed_is_noted_next(
    queue: SqliteQueue, house: SqliteHouse
) -> None:
    first, second = await accepted(queue, output(f"{KEY}1")), await accepted(queue, output(f"{KEY}2"))
    await queue.answered(first.number)
    storing = asyncio.create_task(accepted(queue, output(f"{KEY}3")))
    while queue._answered:  # noqa: ASYNC110 - until the commit has taken it, which tells nobody
        await asyncio.sleep(0)
    await queue.answered(second.number)
    third = await storing
    await house.crash()
    assert house.answered() == {first.number, second.number}
    assert third.number in house.statuses()


async def test_what_waits_for_another_commit_is_stored_at_the_close(house: SqliteHouse) -> None:
    queue = await house.open()
    entry = await released(queue)
    waiting = asyncio.create_task(queue.settle(ended(await claimed(queue), "delivered"), START, 60.0))
    await asyncio.sleep(0)
    await house.crash()
    assert await waiting
    assert house.statuses() == {entry.number: "succeeded"}


@pytest.fixture
async def sharing(house: SqliteHouse, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteQueue]:
    """A queue with eight jobs under way, one of whose commits has just begun. The next waits for four changes."""
    monkeypatch.setattr(Commits, "apart_s", 3600.0)
    queue = await house.open()
    assert isinstance(queue, SqliteQueue)
    await accepted(queue, output(f"{KEY}0"))
    await queue._committer.run(lambda _: None)  # a queue's first commit is followed by a count
    queue.share_commits(lambda: 8)
    yield queue
    await house.crash()


async def test_the_changes_of_many_jobs_share_a_commit(sharing: Queue, house: SqliteHouse, tmp_path: Path) -> None:
    before = commits_in_wal(tmp_path)
    early = [asyncio.create_task(accepted(sharing, output(f"{KEY}{number}"))) for number in (1, 2, 3)]
    for _ in range(20):  # long enough for a commit to begin
        await asyncio.sleep(0)
    assert len(house.statuses()) == 1
    await accepted(sharing, output(f"{KEY}4"))
    assert all(task.done() for task in early)
    assert len(house.statuses()) == 5
    assert commits_in_wal(tmp_path) == before + 1


async def test_a_commit_that_waits_for_others_is_begun_when_the_jobs_are_few(sharing: Queue) -> None:
    waiting = asyncio.create_task(accepted(sharing))
    await asyncio.sleep(0)
    sharing.share_commits(lambda: 1)
    await waiting


async def test_what_waits_for_the_changes_of_others_is_stored_at_the_close(sharing: Queue, house: SqliteHouse) -> None:
    waiting = asyncio.create_task(accepted(sharing))
    await asyncio.sleep(0)
    await house.crash()
    assert house.statuses()[(await waiting).number] == "accepting"


async def test_who_takes_too_little_is_woken_again(queue: SqliteQueue) -> None:
    entry = await accepted(queue)
    assert (await queue.take_work(1, START)).claims == ()
    await queue.activate(entry.number, (), START)
    assert queue._wakeups.work.is_set()


async def test_a_second_owner_is_refused(queue: Queue, tmp_path: Path) -> None:
    with pytest.raises(StorageFailing, match="belongs to another running imgserve") as refused:
        await SqliteQueue.open(tmp_path, ROOMY, START)
    assert "--data-dir" in refused.value.hint
    await accepted(queue)


async def test_a_newer_schema_is_refused_and_left_alone(house: SqliteHouse, tmp_path: Path) -> None:
    await house.open()
    await house.crash()
    with apsw.Connection(str(tmp_path / FILE_NAME)) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for _ in range(2):  # a refusal gives the directory back
        with pytest.raises(StorageFailing, match="schema 99"):
            await house.open()


@pytest.mark.parametrize("trouble", ["no database", "a directory", "nowhere"])
async def test_a_file_that_cannot_be_opened(tmp_path: Path, trouble: str) -> None:
    data_dir = tmp_path / "data"
    if trouble != "nowhere":
        data_dir.mkdir()
    if trouble == "no database":
        (data_dir / FILE_NAME).write_bytes(b"no database at all" * 100)
    elif trouble == "a directory":
        (data_dir / FILE_NAME).mkdir()
    with pytest.raises(StorageFailing):
        await SqliteQueue.open(data_dir, ROOMY, START)


async def test_below_the_disk_floor_nothing_is_accepted_but_work_ends(house: SqliteHouse) -> None:
    queue = await house.open()
    await released(queue)
    queue = await house.open(config=Config(min_free_disk_bytes=1 << 62))
    with pytest.raises(StorageFailing, match="free") as refused:
        await queue.enqueue(new_job(), START)
    assert (number_of(refused.value), refused.value.status) == (301, 503)
    assert await queue.settle(ended(await claimed(queue), "delivered"), START)
    await house.crash()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    other = apsw.Connection(str(path / FILE_NAME))
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.close()


@contextmanager
def no_room(path: Path) -> Iterator[None]:
    """No file of this process can grow, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size_bytes = (path / f"{FILE_NAME}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("trouble", [locked, no_room])
async def test_a_disk_in_trouble_accepts_nothing_and_recovers(
    queue: Queue, house: SqliteHouse, tmp_path: Path, trouble: Callable[[Path], AbstractContextManager[None]]
) -> None:
    entry = await released(queue)
    claim = await claimed(queue)
    before = house.statuses()
    with trouble(tmp_path):
        ends = await asyncio.gather(
            *(queue.enqueue(new_job(), START) for _ in range(3)),
            queue.settle(ended(claim, "delivered"), START),
            return_exceptions=True,
        )
        assert [type(end) for end in ends] == [StorageFailing] * 4
        assert house.statuses() == before
    assert await queue.settle(ended(claim, "delivered"), START)
    later = await accepted(queue)
    assert house.statuses() == {entry.number: "succeeded", later.number: "accepting"}


async def test_an_answer_that_comes_while_a_commit_fails_is_noted_later(
    queue: SqliteQueue, house: SqliteHouse, tmp_path: Path
) -> None:
    first, second = await accepted(queue, output(f"{KEY}1")), await accepted(queue, output(f"{KEY}2"))
    is_taken = threading.Event()
    with no_room(tmp_path):
        await queue.answered(first.number)
        committing = asyncio.create_task(queue._committer.run(lambda _: is_taken.set()))
        while not is_taken.is_set():  # noqa: ASYNC110 - it is set in the committer's thread
            await asyncio.sleep(0)
        await queue.answered(second.number)
        with pytest.raises(StorageFailing):
            await committing
    await house.crash()
    assert house.answered() == {second.number}, "the other one was in the commit"


async def test_the_durable_settings_are_in_force(queue: SqliteQueue) -> None:
    def ask(db: apsw.Connection) -> tuple[object, ...]:
        return tuple(db.execute(f"PRAGMA {name}").get for name in ("journal_mode", "synchronous", "foreign_keys"))

    assert await queue._committer.run(ask) == ("wal", 2, 1)


async def test_a_statement_is_planned_once(queue: SqliteQueue) -> None:
    """Else the plan is made anew for each value that is bound, and the queue costs half as much again."""
    assert await queue._committer.run(lambda db: db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, -1)) == 1


async def test_closing_finishes_what_is_pending(house: SqliteHouse) -> None:
    queue = await house.open()
    pending = [asyncio.create_task(queue.enqueue(new_job(), START)) for _ in range(20)]
    await asyncio.sleep(0)
    await house.crash()
    entries = await asyncio.gather(*pending)
    assert set(house.statuses()) == {entry.number for entry in entries}


async def test_a_transaction_that_raises_is_undone_alone(queue: SqliteQueue, house: SqliteHouse) -> None:
    """What one of a batch wrote before it failed must be gone; what the others wrote must be there."""

    def half(db: apsw.Connection) -> None:
        db.execute("UPDATE job SET status = 'succeeded'")
        raise QueueFull("changed its mind")

    entry = await accepted(queue)
    ends = await asyncio.gather(accepted(queue), queue._committer.run(half), accepted(queue), return_exceptions=True)
    assert isinstance(ends[1], QueueFull)
    assert len(house.statuses()) == 3
    assert set(house.statuses().values()) == {"accepting"}
    assert entry.number in house.statuses()


async def test_a_row_that_cannot_be_read_holds_up_nobody(house: SqliteHouse, tmp_path: Path) -> None:
    queue = await house.open()
    odd, good = await released(queue, output(f"{KEY}1")), await released(queue, output(f"{KEY}2"))
    await house.crash()
    db = apsw.Connection(str(tmp_path / FILE_NAME))
    db.execute("UPDATE output SET spec = CAST(? AS BLOB) WHERE job = ?", ('{"of": "another version"}', odd.number))
    db.close()
    queue = await house.open()
    assert [claim.number for claim in (await queue.take_work(10, START)).claims] == [good.number]
    assert house.statuses() == {odd.number: "failed", good.number: "running"}


async def test_a_queue_tells_that_it_cannot_be_written(queue: Queue, tmp_path: Path) -> None:
    assert not list(queue.states())
    other = apsw.Connection(str(tmp_path / FILE_NAME))
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageFailing):
        await queue.enqueue(new_job(), START)
    [state] = queue.states()
    assert (state.name, state.severity) == ("storage_failing", "refusing")
    assert "another program holds the file" in state.detail
    other.execute("ROLLBACK")
    other.close()
    await accepted(queue)
    assert not list(queue.states())


async def test_who_waits_for_work_can_be_stopped_when_it_comes(queue: SqliteQueue) -> None:
    """A runner that overheard it would go on for ever, and its server never end."""
    waiting = asyncio.create_task(queue.wait_for_work(60))
    await asyncio.sleep(0)
    queue._wakeups.work.set()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
