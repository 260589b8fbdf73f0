"""The queue's disk is full, or somebody holds its file: 503, nothing accepted, and it goes on without a restart."""

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from tests.chaos.lane import Lane
from tests.chaos.outputs import accept, entries_of, faults, is_over, native_job, post, prepared
from tests.support.daemon import Reply, wait_until
from tests.support.sizes import sized

DISK_BYTES = 3_000_000


@contextmanager
def full(data_dir: Path) -> Iterator[None]:
    ballast = data_dir / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while os.statvfs(data_dir).f_bavail:
            file.write(bytes(4096))
    yield
    ballast.unlink()


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    with closing(sqlite3.connect(data_dir / "queue.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def small_disk(at: Path) -> Iterator[None]:
    at.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(at)], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True, timeout=10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("trouble", [full, locked])
def test_nothing_is_accepted_until_the_disk_is_well(
    tmp_path: Path, trouble: Callable[[Path], AbstractContextManager[None]]
) -> None:
    """Jobs that are under way when it begins, of one output and of many, are carried through all the same."""
    data_dir = tmp_path / "lane" / "data"
    with small_disk(data_dir), Lane(tmp_path / "lane", switches={"min_free_disk_bytes": 0}) as lane:
        lane.accept(lane.job(0, lane.place("put", "under-way"), "held/good-0.png"))
        lane.until(0, lambda entry: entry.status == "running")
        many = prepared(lane, "many", 20)
        accept(lane, many, "held/good-1.png")
        wait_until(lambda: {entry.job for entry in entries_of(lane, many)} == {"running"})
        first = max(lane.posted) + 1
        with trouble(data_dir):
            lane.sources.release("good-0.png")
            lane.sources.release("good-1.png")
            replies: list[Reply] = []

            def is_refused() -> bool:
                number = first + len(replies)
                reply = lane.post(lane.job(number, lane.place("put", f"p{number}"), f"plain/good-{number}.png"))
                assert reply is not None
                replies.append(reply)
                return reply.status == 503

            wait_until(is_refused)  # a page or two may still have had room in the file
            refused = first + len(replies) - 1
            assert replies[-1].body["code"] == 301
            assert replies[-1].headers["retry-after"]
            assert lane.entries([refused]) == ()
            assert lane.writes_to(lane.posted[refused]) == [], "a byte went out for a job that is not stored"
            for count in sized((20,), (2, 20)):
                more = prepared(lane, f"refused-{count}", count)
                answer = post(lane, native_job(lane, more, "plain/good-2.png"))
                assert answer is not None
                assert answer.status == 503, answer
                assert entries_of(lane, more) == ()
                assert not any(lane.writes_to(place) for place in more.places)
        late = lane.job(max(lane.posted) + 1, lane.place("put", "late"), "plain/good-9.png")
        wait_until(lambda: "dstURL" in getattr(lane.post(late), "body", {}))
        kept = [0, *range(first, refused), max(lane.posted)]
        lane.until_ended(kept)
        wait_until(lambda: is_over(lane, many))
        assert lane.faults(kept) == []
        assert {entry.status for entry in lane.entries(kept)} == {"succeeded"}
        assert list(faults(lane, many, refuses="final")) == []
        assert lane.daemon.log.count("listening on") == 1, "it must not need a restart"
