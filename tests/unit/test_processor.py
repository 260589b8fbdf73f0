"""Threads that follow a busy event loop from processor to processor."""

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from imgserve import processor
from imgserve.jobs.sql.loopthread import LoopThread
from imgserve.processor import Place

ALLOWED = frozenset(os.sched_getaffinity(0))


class Clocks:
    """``busy``: the part of each second that the thread uses. A second passes with each look at the clock."""

    def __init__(self, busy: float) -> None:
        self.busy = busy
        self.at_s = self.used_s = 0.0

    def time(self) -> float:
        self.at_s += 1.0
        self.used_s += self.busy
        return self.at_s

    def cpu_time(self) -> float:
        return self.used_s

    def place(self) -> Place:
        return Place(self.time, self.cpu_time)


@pytest.fixture(autouse=True)
def _everywhere_again() -> Iterator[None]:
    yield
    os.sched_setaffinity(0, ALLOWED)


@pytest.mark.parametrize("here", sorted(ALLOWED))
def test_the_current_processor_is_the_one_that_the_thread_is_kept_on(here: int) -> None:
    processor.stay_on({here})
    assert os.sched_getaffinity(0) == {here}
    assert processor.current() == here


@pytest.mark.parametrize("nowhere", [{1 << 14}, set()])
def test_a_processor_that_is_not_there_changes_nothing(nowhere: set[int]) -> None:
    processor.stay_on(nowhere)
    assert os.sched_getaffinity(0) == ALLOWED


@pytest.mark.parametrize(("busy", "is_beside"), [(0.0, False), (0.49, False), (0.51, True), (1.0, True)])
def test_a_thread_belongs_beside_one_that_is_busy(busy: float, *, is_beside: bool) -> None:
    place, here = Clocks(busy).place(), min(ALLOWED)
    processor.stay_on({here})
    assert set(place.now()) == ({here} if is_beside else ALLOWED)


async def test_a_loops_thread_follows_it_while_it_is_busy() -> None:
    clocks = Clocks(busy=1.0)
    thread = LoopThread(asyncio.get_running_loop(), "follows", clocks.place())
    try:
        for here in [*sorted(ALLOWED), min(ALLOWED)]:
            os.sched_setaffinity(0, {here})
            assert await thread.call(lambda: os.sched_getaffinity(0)) == {here}
        clocks.busy = 0.0
        assert await thread.call(lambda: os.sched_getaffinity(0)) == ALLOWED
    finally:
        thread.stop()


async def test_no_other_thread_is_moved() -> None:
    places: list[set[int]] = []
    thread = LoopThread(asyncio.get_running_loop(), "follows", Clocks(busy=1.0).place())
    try:
        await thread.call(lambda: None)
        other = threading.Thread(target=lambda: places.append(os.sched_getaffinity(0)))
        other.start()
        other.join()
    finally:
        thread.stop()
    assert places == [set(ALLOWED)]
    assert os.sched_getaffinity(0) == ALLOWED
