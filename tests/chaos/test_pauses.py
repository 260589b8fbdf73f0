"""SIGSTOP: a worker that stands still is ended at its deadline; a server that stood still writes nothing stale."""

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.lane import KINDS, Kind, Lane
from tests.chaos.outputs import accept, entries_of, faults, is_over, prepared
from tests.chaos.test_workers import ready_workers
from tests.support.daemon import wait_until
from tests.support.sizes import IS_FULL, sized

LEASE = {"lease_s": 0.6, "heartbeat_s": 0.25}
PLACES: tuple[Kind, ...] = KINDS if IS_FULL else ("file", "put")
COUNTS = sized((20,), (2, 20))
TIMES = {"render_timeout_s": 1.5, "probe_timeout_s": 1.5, "retry_delay_s": 0.2}


def test_workers_that_stand_still_are_ended_at_their_deadline(tmp_path: Path) -> None:
    """Their jobs are tried again, until they meet workers that do not stand still."""
    with Lane(tmp_path / "lane", workers=2, switches=TIMES) as lane:
        for number in range(2):
            lane.accept(lane.job(number, lane.place(KINDS[number], f"p{number}"), f"held/good-{number}.png"))
            lane.until(number, lambda entry: entry.status == "running")
        stopped = ready_workers(lane.daemon.pid)
        assert len(stopped) == 5, "two render workers, the intake worker and two that stand ready"
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        for number in range(2):
            lane.sources.release(f"good-{number}.png")
        lane.until_ended(range(2))
        for entry in lane.entries(range(2)):
            assert entry.status == "succeeded"
            assert 1 <= entry.attempts <= 4, "one with each of two workers, and with each of those that stood ready"
        later = lane.job(2, lane.place("put", "p2"), "plain/good-2.png")
        reply = lane.post(later)
        assert reply is not None
        assert reply.body["code"] == 202, "the intake worker stood still too"
        lane.accept(later)
        lane.until_ended([2])
        assert lane.faults(range(3)) == []
        wait_until(lambda: len(ready_workers(lane.daemon.pid)) == 5)
        assert not set(stopped) & set(ready_workers(lane.daemon.pid))


@pytest.mark.parametrize("kind", PLACES)
def test_a_server_that_stood_still_goes_on(tmp_path: Path, kind: Kind) -> None:
    """Its lease has run out meanwhile; whatever it makes of that, one final comes, and comes last."""
    with Lane(tmp_path / "lane", switches=LEASE) as lane:
        lane.accept(lane.job(0, lane.place(kind, "p"), "held/good-0.png"))
        lane.until(0, lambda entry: entry.status == "running")
        stop_beyond_its_lease(lane)
        lane.sources.release("good-0.png")
        os.kill(lane.daemon.pid, signal.SIGCONT)
        lane.until_ended([0])
        assert lane.faults([0]) == []
        (entry,) = lane.entries([0])
        assert (entry.status, entry.attempts, entry.crashes) == ("succeeded", 0, 0)


@pytest.mark.parametrize("kind", PLACES)
def test_a_server_that_lost_its_lease_writes_nothing(tmp_path: Path, kind: Kind) -> None:
    """While it stood still another took the job over: this test, in the queue's file, as a second runner would.

    Its next heartbeat is far away, so that only the check before the write can keep it from writing.
    """
    with Lane(tmp_path / "lane", switches={"lease_s": 40, "heartbeat_s": 20}) as lane:
        place = lane.place(kind, "p")
        lane.accept(lane.job(0, place, "held/good-0.png"))
        lane.until(0, lambda entry: entry.status == "running")
        os.kill(lane.daemon.pid, signal.SIGSTOP)
        token = take_the_job(lane, lease_s=2.0)
        lane.sources.release("good-0.png")
        os.kill(lane.daemon.pid, signal.SIGCONT)
        wait_until(lambda: " settled " in lane.daemon.log)
        assert " claim_lost " in lane.daemon.log
        assert "is_ours=false" in lane.daemon.log
        assert row(lane, "SELECT status, token FROM job") == ("running", token), "the other runner's claim was touched"
        assert [write.kind for write in lane.writes_to(place)] == ["placeholder"], "a stale write"
        lane.until_ended([0])  # the other runner does not come back: its lease ends too
        assert lane.faults([0]) == []
        assert [write.kind for write in lane.writes_to(place)] == ["placeholder", "final"]


@pytest.mark.parametrize("count", COUNTS)
def test_every_output_of_a_server_that_stood_still_ends(tmp_path: Path, count: int) -> None:
    with Lane(tmp_path / "lane", switches=LEASE) as lane:
        posted = prepared(lane, "p", count)
        accept(lane, posted, "held/good-0.png")
        wait_until(lambda: {entry.job for entry in entries_of(lane, posted)} == {"running"})
        stop_beyond_its_lease(lane)
        lane.sources.release("good-0.png")
        os.kill(lane.daemon.pid, signal.SIGCONT)
        wait_until(lambda: is_over(lane, posted))
        assert list(faults(lane, posted, refuses="final")) == []
        assert {entry.crashes for entry in lane.entries(posted.numbers)} == {0}


@pytest.mark.parametrize("count", COUNTS)
def test_a_server_that_lost_its_lease_writes_none_of_the_outputs(tmp_path: Path, count: int) -> None:
    with Lane(tmp_path / "lane", switches={"lease_s": 40, "heartbeat_s": 20}) as lane:
        posted = prepared(lane, "p", count)
        accept(lane, posted, "held/good-0.png")
        wait_until(lambda: {entry.job for entry in entries_of(lane, posted)} == {"running"})
        os.kill(lane.daemon.pid, signal.SIGSTOP)
        token = take_the_job(lane, lease_s=2.0)
        lane.sources.release("good-0.png")
        os.kill(lane.daemon.pid, signal.SIGCONT)
        wait_until(lambda: "is_ours=false" in lane.daemon.log)
        assert row(lane, "SELECT status, token FROM job") == ("running", token), "the other runner's claim was touched"
        for place in posted.places:
            assert [write.kind for write in lane.writes_to(place)] == ["placeholder"], f"a stale write to {place.name}"
        wait_until(lambda: is_over(lane, posted))  # the other runner does not come back
        assert list(faults(lane, posted, refuses="final")) == []


def stop_beyond_its_lease(lane: Lane) -> None:
    os.kill(lane.daemon.pid, signal.SIGSTOP)
    wait_until(lambda: row(lane, "SELECT lease_until FROM job")[0] < time.time(), 5)


def take_the_job(lane: Lane, lease_s: float) -> int:
    """The new token."""
    with closing(sqlite3.connect(lane.daemon.data_dir / "queue.sqlite", timeout=10)) as database, database:
        until = time.time() + lease_s
        database.execute("UPDATE job SET token = token + 1, claim = token + 1, lease_until = ?", (until,))
        return int(database.execute("SELECT token FROM job").fetchone()[0])


def row(lane: Lane, sql: str) -> tuple[Any, ...]:
    with closing(sqlite3.connect(lane.daemon.data_dir / "queue.sqlite", timeout=10)) as database:
        found: tuple[Any, ...] = database.execute(sql).fetchone()
        return found
