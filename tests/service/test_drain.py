"""SIGTERM: what runs is finished or given back uncharged, nothing new is taken in, nothing is lost."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.lane import KINDS, Lane
from tests.support.daemon import LOOPBACK, Daemon, Reply, wait_until
from tests.support.postgres_house import NewQueue
from tests.support.sizes import PATIENCE_S

JOBS = 60
HELD = 6


@pytest.fixture
def lane(tmp_path: Path, new_queue: NewQueue) -> Iterator[Lane]:
    with Lane(tmp_path / "lane", workers=1, queue=new_queue()) as lane:
        yield lane


def terminate(lane: Lane) -> None:
    told = lane.daemon.log.count(" draining")
    os.kill(lane.daemon.pid, signal.SIGTERM)
    wait_until(lambda: lane.daemon.log.count(" draining") > told)


def test_under_load_nothing_is_lost_and_nothing_charged(tmp_path: Path, new_queue: NewQueue) -> None:
    switches, queue = {"drain_s": 2.0}, new_queue()
    with Lane(tmp_path / "lane", switches=switches, queue=queue) as lane, ThreadPoolExecutor(6) as threads:
        held = [f"held/good-{number}.png" if number < HELD else f"plain/good-{number}.png" for number in range(JOBS)]
        jobs = [
            lane.job(number, lane.place(KINDS[number % 4], f"p{number}"), source) for number, source in enumerate(held)
        ]
        answered = threading.Semaphore(0)

        def post(job: dict[str, object]) -> Reply | None:
            reply = lane.post(job)
            answered.release()
            return reply

        replies = [threads.submit(post, job) for job in jobs]
        for _ in range(JOBS // 2):
            assert answered.acquire(timeout=20)
        started = time.monotonic()
        assert lane.daemon.stop() == 0
        assert time.monotonic() - started < 30
        accepted = [number for number, reply in enumerate(replies) if is_accepted(reply.result())]
        entries = lane.entries(range(JOBS))
        assert {entry.job for entry in entries} == set(accepted), "an answer and the queue differ"
        assert HELD <= len(accepted) < JOBS, "the signal came too early or too late to show anything"
        assert {(entry.attempts, entry.crashes) for entry in entries} == {(0, 0)}
        assert {entry.status for entry in entries if entry.job < HELD} == {"queued"}

        for number in range(HELD):
            lane.sources.release(f"good-{number}.png")
        lane.daemon.start()
        for number in set(range(JOBS)) - set(accepted):
            lane.accept(jobs[number])
        lane.until_ended(range(JOBS))
        assert lane.faults(range(JOBS)) == []
        assert {entry.status for entry in lane.entries(range(JOBS))} == {"succeeded"}


def is_accepted(reply: Reply | None) -> bool:
    """Whether it was; a refusal must say that the server stops, and that it is worth asking again."""
    if reply is None:
        return False
    if "dstURL" in reply.body:
        return True
    assert (reply.status, reply.body["code"]) == (503, 301), reply
    assert int({name.lower(): value for name, value in reply.headers.items()}["retry-after"]) > 0
    return False


def test_what_runs_is_finished_and_new_jobs_are_turned_away(lane: Lane) -> None:
    lane.accept(lane.job(0, lane.place("put", "running"), "held/good-0.png"))
    lane.until(0, lambda entry: entry.status == "running")
    terminate(lane)
    refused = lane.post(lane.job(1, lane.place("put", "late"), "plain/good-1.png"))
    assert refused is not None
    assert (refused.status, refused.body["code"]) == (503, 301)
    assert lane.daemon.is_running, "it must wait for what runs"
    lane.sources.release("good-0.png")
    assert lane.daemon.wait() == 0
    assert [entry.status for entry in lane.entries([0, 1])] == ["succeeded"]
    assert lane.faults([0]) == []


def test_a_second_stop_waits_with_the_first(lane: Lane) -> None:
    """It says that what runs is finished, as the first one does, and so it must be."""
    lane.accept(lane.job(0, lane.place("put", "running"), "held/good-0.png"))
    lane.until(0, lambda entry: entry.status == "running")
    terminate(lane)
    stop = [sys.executable, "-m", "imgserve", "stop", "--data-dir", str(lane.daemon.data_dir)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(stop, env=environment, stdout=subprocess.PIPE, text=True) as second:
        assert second.stdout is not None
        assert "finishes what runs" in second.stdout.readline()
        lane.sources.release("good-0.png")
        assert (lane.daemon.wait(), second.wait(PATIENCE_S)) == (0, 0)
    assert [entry.status for entry in lane.entries([0])] == ["succeeded"]


def test_a_second_signal_ends_it_now(lane: Lane) -> None:
    lane.accept(lane.job(0, lane.place("file", "running"), "held/good-0.png"))
    lane.until(0, lambda entry: entry.status == "running")
    terminate(lane)
    started = time.monotonic()
    assert lane.daemon.stop() == 0
    assert time.monotonic() - started < 10
    (entry,) = lane.entries([0])
    assert (entry.status, entry.attempts) == ("queued", 0)
    lane.sources.release("good-0.png")
    lane.daemon.start()
    lane.until_ended([0])
    assert lane.faults([0]) == []


@pytest.mark.parametrize("signals", [1, 2])
def test_who_waits_for_an_answer_is_told_to_ask_again(tmp_path: Path, signals: int) -> None:
    """The source says nothing, so the answer would come long after the end."""
    job: dict[str, object] = {"operationType": "resize", "dstURL": f"file://{tmp_path}/a.png", "args": {"width": 9}}
    switches = {"drain_s": 0.5 if signals == 1 else 60}
    with (
        socket.create_server(("127.0.0.1", 0)) as source,
        ThreadPoolExecutor(1) as threads,
        Daemon(tmp_path / "data", "--write-root", str(tmp_path), *LOOPBACK, switches=switches) as server,
    ):
        job["srcURL"] = f"http://127.0.0.1:{source.getsockname()[1]}/a.png"
        reply = threads.submit(server.post, job)
        with source.accept()[0]:
            os.kill(server.pid, signal.SIGTERM)
            wait_until(lambda: " draining" in server.log)
            assert (server.stop() if signals == 2 else server.wait()) == 0
        assert not is_accepted(reply.result())
