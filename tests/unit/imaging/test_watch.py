"""The watchdog: a block that exceeds its budget is given up, one that ends in time is not."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from imgserve.errors import ImgserveError
from imgserve.imaging.faults import PictureTooLarge
from imgserve.imaging.worker.svg import watch

FAULT = PictureTooLarge("it takes too much", "simplify it")
NO_MEMORY, ALL_MEMORY = 0, 1 << 60


class Given:
    """Takes what a watched block is given up with. The real one ends the process."""

    def __init__(self) -> None:
        self.faults: list[ImgserveError] = []
        self.is_given = threading.Event()

    def up(self, fault: ImgserveError) -> None:
        self.faults.append(fault)
        self.is_given.set()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    monkeypatch.setattr(watch, "_LOOKS_WITHOUT_BLOCKS", 3)
    yield Given()
    _wait_for_its_end()


def _wait_for_its_end() -> None:
    until = time.monotonic() + 30
    while any(thread.name == "watchdog" for thread in threading.enumerate()):
        assert time.monotonic() < until, "the thread does not end"
        time.sleep(0.01)


@pytest.mark.parametrize(
    "watched",
    [
        lambda up: watch.memory(up, NO_MEMORY, FAULT),
        lambda up: watch.cpu_time(up, -1.0, FAULT),
        lambda up: watch.time_and_memory(up, 1e9, NO_MEMORY, FAULT),
        lambda up: watch.time_and_memory(up, -1.0, ALL_MEMORY, FAULT),
    ],
)
def test_what_exceeds_its_budget_is_given_up_once(
    given: Given, watched: Callable[[watch.GiveUp], AbstractContextManager[None]]
) -> None:
    with watched(given.up):
        assert given.is_given.wait(30)
    assert given.faults == [FAULT]


def test_a_block_within_its_budget_is_left_alone(given: Given) -> None:
    with watch.memory(given.up, ALL_MEMORY, FAULT):
        _wait_for_a_look()
    assert given.faults == []


def test_a_block_that_has_ended_is_not_given_up(given: Given) -> None:
    has_ended = False
    with watch._watched(lambda: has_ended, given.up, FAULT):
        pass
    has_ended = True
    _wait_for_a_look()
    assert given.faults == []


def test_a_block_is_not_looked_at_when_it_begins(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Given()
    with watch.memory(other.up, NO_MEMORY, FAULT):
        monkeypatch.setattr(watch, "_FIRST_LOOK_AFTER_S", 3600)
        with watch.memory(given.up, NO_MEMORY, FAULT):
            assert other.is_given.wait(30)
    assert given.faults == []


def _wait_for_a_look() -> None:
    other = Given()
    with watch.memory(other.up, NO_MEMORY, FAULT):
        assert other.is_given.wait(30)


def test_the_thread_ends_and_another_one_takes_its_place(given: Given) -> None:
    for _ in range(2):
        with watch.memory(given.up, NO_MEMORY, FAULT):
            assert given.is_given.wait(30)
        given.is_given.clear()
        _wait_for_its_end()
    assert given.faults == [FAULT, FAULT]


def test_one_thread_for_all_blocks(given: Given) -> None:
    with watch.memory(given.up, ALL_MEMORY, FAULT), watch.memory(given.up, ALL_MEMORY, FAULT):
        before = threading.active_count()
        with watch.memory(given.up, ALL_MEMORY, FAULT):
            assert threading.active_count() == before
