"""The wall clock is set by hours or days, at every stage, with and without a restart: nothing waits or is lost."""

import itertools
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from examples.receivers import Behaviour

from tests.chaos.lane import Lane
from tests.support.daemon import wait_until
from tests.support.faketime import WallClock, needs_faketime
from tests.support.operating import ask
from tests.support.sizes import IS_FULL

pytestmark = needs_faketime

HOUR, A_MINUTE = 3600.0, 60.0  # a busy machine sees a step some seconds later
EVERY = list(itertools.product(("running", "killed", "stopped"), (5 * HOUR, -5 * HOUR, 73 * HOUR, -73 * HOUR)))
CASES = EVERY if IS_FULL else [("running", -5 * HOUR)]
SOON = {"retry_delay_s": 1, "keep_ended_s": 10**6}


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path / "now")


@pytest.fixture
def lane(tmp_path: Path, clock: WallClock) -> Iterator[Lane]:
    opened = Lane(tmp_path / "lane", switches=SOON)
    opened.daemon.environment |= clock.environment
    with opened:
        yield opened


def at_every_stage(lane: Lane) -> None:
    """0 waits for its second attempt, 1 is being fetched, 2 is owed a failure picture, 3 has been done."""
    lane.accept(lane.job(3, lane.place("put", "done"), "plain/good.png"))
    lane.until(3, lambda entry: entry.status == "succeeded")
    lane.accept(lane.job(1, lane.place("file", "fetched"), "held/good-1.png"))
    owed, waiting = lane.place("put", "owed"), lane.place("put", "waiting")
    lane.accept(lane.job(2, owed, "held/broken-2.png"))
    lane.web.behave("/owed", Behaviour(status=503, times=1, kinds=("PUT",)))
    lane.sources.release("broken-2.png")
    lane.until(2, lambda entry: entry.outbox_attempts == 1)
    lane.accept(lane.job(0, waiting, "held/good-0.png"))
    lane.refuse_once(waiting)
    lane.sources.release("good-0.png")
    lane.until(0, lambda entry: (entry.status, entry.attempts) == ("queued", 1))


def check_all(lane: Lane) -> None:
    lane.sources.release("good-1.png")
    lane.accept(lane.job(4, lane.place("ftp", "new"), "plain/good.png"))
    lane.until_ended(range(5))
    assert lane.faults(range(5)) == []
    ends = {entry.job: (entry.status, entry.outbox) for entry in lane.entries(range(5))}
    done = ("succeeded", "none")
    assert ends == {0: done, 1: done, 2: ("failed", "done"), 3: done, 4: done}


def states(lane: Lane) -> list[str]:
    return [state["name"] for state in ask(lane.daemon.data_dir, "GET", "/v1/server").body["states"]]


def steps_logged(lane: Lane) -> list[int]:
    return [int(by_s) for by_s in re.findall(r"clock_stepped .*?by_s=(-?\d+)", lane.daemon.log)]


@pytest.mark.parametrize(("how", "step_s"), CASES)
def test_a_step_holds_up_nothing(lane: Lane, clock: WallClock, how: str, step_s: float) -> None:
    at_every_stage(lane)
    if how == "killed":
        lane.daemon.kill()
    elif how == "stopped":
        lane.sources.release("good-1.png")
        lane.daemon.stop()
    clock.step(step_s)
    if how != "running":
        lane.daemon.start()
    wait_until(lambda: states(lane) == ["clock_stepped"])
    wait_until(lambda: any(abs(by_s - step_s) < A_MINUTE for by_s in steps_logged(lane)))
    check_all(lane)


def test_seventy_three_hours_without_a_server_lose_nothing(lane: Lane, clock: WallClock) -> None:
    """Across a reboot, which is what the queue sees when the boot's id is another."""
    at_every_stage(lane)
    lane.daemon.kill()
    with closing(sqlite3.connect(lane.daemon.data_dir / "queue.sqlite")) as database, database:
        database.execute("UPDATE owner SET boot = 'another'")
    clock.step(73 * HOUR)
    lane.daemon.start()
    check_all(lane)


def test_a_late_failure_picture_leaves_somebodys_file_alone(tmp_path: Path) -> None:
    with Lane(tmp_path / "lane") as lane:
        place = lane.place("file", "late")
        lane.accept(lane.job(0, place, "held/broken-0.png"))
        lane.daemon.kill()
        place.path.write_bytes(b"the operator's own")
        lane.sources.release("broken-0.png")
        lane.daemon.start()
        lane.until(0, lambda entry: (entry.status, entry.outbox) == ("failed", "none"))
        assert place.path.read_bytes() == b"the operator's own"


def test_a_reply_waits_only_its_time_for_a_killed_servers_destination(tmp_path: Path) -> None:
    """What a killed server sent may arrive for fifteen seconds; nobody waits so long for an answer."""
    with Lane(tmp_path / "lane", switches={"quiet_s": 600, "placeholder_timeout_s": 0.5}) as lane:
        place = lane.place("put", "quiet")
        lane.arm("placeholder_sent")
        assert lane.post(lane.job(0, place, "plain/good.png")) is None
        lane.restart_after_death()
        reply = lane.post(lane.job(1, place, "plain/good.png"))
        assert reply is not None
        assert (reply.status, reply.body["code"]) == (503, 301)
        assert reply.headers["retry-after"]
        assert lane.entries([1]) == (), "the row has gone"
        assert [write.job for write in lane.writes_to(place)] == [0], "nothing was sent"
