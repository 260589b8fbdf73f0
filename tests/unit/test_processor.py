"""Threads that follow the event loop from processor to processor."""

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from imgserve import processor
from imgserve.jobs.sql.loopthread import LoopThread

ALLOWED = frozenset(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def _everywhere_again() -> Iterator[None]:
    yield
    os.sched_setaffinity(0, ALLOWED)


@pytest.mark.parametrize("place", sorted(ALLOWED))
def test_the_current_processor_is_the_one_that_the_thread_is_kept_on(place: int) -> None:
    processor.stay_on(place)
    assert os.sched_getaffinity(0) == {place}
    assert processor.current() == place


@pytest.mark.parametrize("place", [-1, 1 << 14])
def test_an_unknown_processor_and_one_that_is_not_there_change_nothing(place: int) -> None:
    processor.stay_on(place)
    assert os.sched_getaffinity(0) == ALLOWED


async def test_a_loops_thread_follows_it() -> None:
    thread = LoopThread(asyncio.get_running_loop(), "follows")
    try:
        for place in [*sorted(ALLOWED), min(ALLOWED)]:
            os.sched_setaffinity(0, {place})
            assert await thread.call(lambda: os.sched_getaffinity(0)) == {place}
    finally:
        thread.stop()


async def test_no_other_thread_is_moved() -> None:
    places: list[set[int]] = []
    thread = LoopThread(asyncio.get_running_loop(), "follows")
    try:
        await thread.call(lambda: None)
        other = threading.Thread(target=lambda: places.append(os.sched_getaffinity(0)))
        other.start()
        other.join()
    finally:
        thread.stop()
    assert places == [set(ALLOWED)]
    assert os.sched_getaffinity(0) == ALLOWED
