"""Thousands of due jobs for hosts that take connections and never answer: somebody else's jobs come all the same.

The jobs are put into the queue's file before the server starts, so that all of them are due at once, and older than
everything else.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
from examples.receivers import Behaviour, HttpReceiver

from imgserve.jobs.config import Config
from imgserve.jobs.model import Accepted
from imgserve.jobs.sqlite.queue import SqliteQueue
from imgserve.request import tags
from imgserve.request.classic.destination import parse_destination
from imgserve.request.source import parse_source
from tests.chaos.judge import entries_of
from tests.chaos.lane import Lane
from tests.hostile.neighbours import Ends, Neighbour, Times, compare
from tests.support.queues import moved, new_job, output
from tests.support.sizes import IS_FULL, Figures, sized

JOBS = sized(150, 9_000)  # more than are tried at once
ROUND_S = sized(0.5, 75.0)  # the first writes to a silent host are given up after a minute
ROUNDS = sized(1, 2)


@contextmanager
def silent_hosts(count: int, directory: Path) -> Iterator[list[str]]:
    directory.mkdir()
    with ExitStack() as opened:
        hosts = [opened.enter_context(HttpReceiver(directory)) for _ in range(count)]
        for host in hosts:
            host.behave("/", Behaviour(never=True))
        yield [host.url for host in hosts]


async def fill(lane: Lane, hosts: list[str], source: str) -> None:
    """So many due jobs as if they had been posted before the server was stopped, their hosts in turns."""
    lane.daemon.data_dir.mkdir(mode=0o700)
    now = time.time()
    queue = await SqliteQueue.open(lane.daemon.data_dir, Config(), now)

    async def put(number: int) -> None:
        url = f"{hosts[number % len(hosts)]}/{number}.png"
        place = parse_destination(url, {"method": "PUT"}).fill(tags.EXAMPLE)
        bare = moved(output(is_bare=True), place)
        entry = await queue.enqueue(msgspec.structs.replace(new_job(bare), source=parse_source(source)), now)
        assert isinstance(entry, Accepted)
        await queue.activate(entry.number, (), now)
        await queue.answered(entry.number)

    await asyncio.gather(*(put(number) for number in range(JOBS)))
    await queue.aclose()


@pytest.mark.parametrize("count", [1, 4] if IS_FULL else [4])
def test_others_do_not_notice(tmp_path: Path, figures: Figures, count: int) -> None:
    alone: list[Times] = []
    beside: list[Times] = []
    with silent_hosts(count, tmp_path / "silent") as hosts:
        for turn in range(ROUNDS):
            for times, is_beside in ((alone, False), (beside, True)):
                with opened(tmp_path / f"{turn}-{is_beside}", hosts if is_beside else []) as lane:
                    ends = Ends()
                    lane.web.log = ends
                    times += Neighbour(lane, ends).call_for(ROUND_S)
                    if is_beside:
                        check_silent(lane)
    compare(figures, alone, beside)
    figures("jobs for silent hosts", JOBS)
    figures("silent hosts", count)


@contextmanager
def opened(root: Path, hosts: list[str]) -> Iterator[Lane]:
    """A server of two workers that has jobs for these hosts."""
    lane = Lane(root, workers=2)
    if hosts:
        asyncio.run(fill(lane, hosts, f"{lane.sources.url}/plain/good-0.png"))
    with lane:
        yield lane


def check_silent(lane: Lane) -> None:
    """Those jobs were there all the time, some under way; none has ended."""
    theirs = [entry for entry in entries_of(lane.daemon.data_dir) if entry.number <= JOBS]
    assert len(theirs) == JOBS
    assert {entry.status for entry in theirs} == {"queued", "running"}
    assert sum(entry.status == "running" for entry in theirs) <= 128
