"""Power loss: the queue's disk keeps what was synced and a random part of the rest; every accepted job is there."""

import itertools
import random
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.chaos.lane import KINDS, Lane
from tests.chaos.outputs import entries_of, faults, is_over, native_job, post, prepared
from tests.chaos.unplugged import after_power_loss
from tests.support.daemon import wait_until
from tests.support.sizes import Figures, sized

ROUNDS = sized(2, 40)
ROUNDS_OF_OUTPUTS = sized(2, 20)
OUTPUTS = (1, 2, 20)
JOBS_A_ROUND = 16
CALLERS = 4


@contextmanager
def unplugged(root: Path) -> Iterator[tuple[Lane, Path]]:
    """A server whose queue lies on a disk that can fail; the disk's shadow."""
    shadow = root / "shadow"
    shadow.mkdir()
    with Lane(root / "lane", program=("-m", "tests.chaos.unplugged", str(shadow))) as lane:
        yield lane, shadow


def lose_power(lane: Lane, shadow: Path, rng: random.Random) -> int:
    """Start again on what the disk has kept; how many writes it has lost. It is cut off while some are not synced."""
    wait_until(lambda: any(pending.stat().st_size for pending in shadow.glob("*.pending")), every_s=0.0005)
    lane.daemon.kill()
    dropped = after_power_loss(shadow, lane.daemon.data_dir, rng)
    assert integrity(lane.daemon.data_dir) == "ok"
    for old in shadow.iterdir():
        old.unlink()
    for kept in lane.daemon.data_dir.iterdir():
        shutil.copy(kept, shadow)
    lane.daemon.start()
    return dropped


def integrity(data_dir: Path) -> str:
    """Of a copy, since to look is to recover."""
    copy = data_dir.with_name("looked-at")
    shutil.copytree(data_dir, copy)
    with closing(sqlite3.connect(copy / "queue.sqlite")) as database:
        told = str(database.execute("PRAGMA integrity_check").fetchone()[0])
    shutil.rmtree(copy)
    return told


def test_accepted_jobs_survive_power_loss(tmp_path: Path, figures: Figures) -> None:
    rng = random.Random(1107)
    accepted: list[int] = []
    dropped = cut_short = 0
    with unplugged(tmp_path) as (lane, shadow), ThreadPoolExecutor(CALLERS) as threads:
        for turn in range(ROUNDS):
            numbers = range(turn * JOBS_A_ROUND, (turn + 1) * JOBS_A_ROUND)
            answers = threading.Semaphore(0)
            jobs = {n: lane.job(n, lane.place(KINDS[n % 4], f"p{n}"), f"plain/good-{n}.png") for n in numbers}

            def post(number: int, jobs: dict[int, object], answers: threading.Semaphore) -> bool:
                reply = lane.post(jobs[number])
                answers.release()
                return reply is not None and "dstURL" in reply.body

            posts = {n: threads.submit(post, n, dict(jobs), answers) for n in numbers}
            for _ in range(rng.randrange(4, JOBS_A_ROUND - CALLERS)):
                assert answers.acquire(timeout=20)
            dropped += lose_power(lane, shadow, rng)
            taken = [n for n, answered in posts.items() if answered.result()]
            cut_short += JOBS_A_ROUND - len(taken)
            accepted += taken
            lost = set(accepted) - {entry.job for entry in lane.entries(accepted)}
            assert not lost, f"accepted, and gone with the power: {lost}"
        assert dropped > 0, "every write had been synced: the power went at moments that show nothing"
        assert cut_short > 0, "no post was cut short"
        known = [entry.job for entry in lane.entries(lane.posted)]
        lane.until_ended(known)
        assert {entry.status for entry in lane.entries(accepted)} == {"succeeded"}
        ended_well = [n for n in accepted if lane.writes_to(lane.posted[n])[-1].kind == "final"]
        assert ended_well == accepted
    figures("power cuts", ROUNDS)
    figures("jobs accepted", len(accepted))
    figures("unsynced writes dropped", dropped)


def test_jobs_with_several_outputs_survive_power_loss(tmp_path: Path, figures: Figures) -> None:
    """Whole or not at all: what is not on the disk has been sent nowhere."""
    rng = random.Random(1108)
    jobs, accepted, dropped = [], [], 0
    with unplugged(tmp_path) as (lane, shadow), ThreadPoolExecutor(len(OUTPUTS)) as threads:
        for turn in range(ROUNDS_OF_OUTPUTS):
            turns = [prepared(lane, f"p{turn}-{count}", count) for count in OUTPUTS]
            made = [native_job(lane, posted, f"plain/good-{posted.numbers[0]}.png") for posted in turns]
            answers = list(itertools.starmap(threads.submit, ((post, lane, job) for job in made)))
            wait(answers, return_when=FIRST_COMPLETED)
            dropped += lose_power(lane, shadow, rng)
            jobs += turns
            for posted, answer in zip(turns, answers, strict=True):
                told = answer.result()
                stored = len(entries_of(lane, posted))
                assert stored in (0, len(posted.numbers)), "a part of a job is on the disk"
                if told is not None:
                    assert told.status == 202, told
                    accepted.append(posted)
                    assert stored, "accepted, and gone with the power"
        assert dropped > 0, "every write had been synced: the power went at moments that show nothing"
        assert len(accepted) < len(jobs), "no post was cut short"
        wait_until(lambda: all(is_over(lane, posted) for posted in jobs))
        for posted in jobs:
            assert list(faults(lane, posted, refuses="final")) == []
        assert all(entry.is_activated for posted in accepted for entry in entries_of(lane, posted))
    figures("jobs with several outputs", len(jobs))
    figures("of them accepted", len(accepted))
    figures("their unsynced writes dropped", dropped)


@pytest.mark.parametrize("trouble", ["fsync_fails", "read_only"])
def test_a_disk_that_fails_accepts_nothing(tmp_path: Path, trouble: str) -> None:
    """A read-only disk heals by itself; after a failed fsync only a restart can say what the disk holds."""
    with unplugged(tmp_path) as (lane, shadow):
        lane.accept(lane.job(0, lane.place("put", "before"), "plain/good-0.png"))
        lane.until_ended([0])
        (shadow / trouble).touch()
        refused = lane.post(lane.job(1, lane.place("put", "during"), "plain/good-1.png"))
        assert refused is not None
        assert (refused.status, refused.body["code"]) == (503, 301), refused.body
        assert lane.entries([1]) == ()
        assert lane.writes_to(lane.posted[1]) == [], "a byte went out for a job that is not stored"
        (shadow / trouble).unlink()
        if trouble == "fsync_fails":
            again = lane.post(lane.job(1, lane.posted[1], "plain/good-1.png"))
            assert again is not None
            assert again.body["code"] == 301, "it must not trust this disk again"
            assert "restart the server" in str(again.body["detail"])
            lane.daemon.kill()
            lane.daemon.start()
        wait_until(lambda: "dstURL" in getattr(lane.post(lane.job(1, lane.posted[1], "plain/good-1.png")), "body", {}))
        lane.until_ended([1])
        assert lane.faults(range(2)) == []
