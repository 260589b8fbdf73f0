"""The table of states: what is told first, what leaves the server ok, and that each change is logged once."""

import logging
from collections.abc import Iterator
from typing import get_args

import pytest

from imgserve.telemetry import states
from imgserve.telemetry.metrics import STATE
from imgserve.telemetry.states import KINDS, State, States, is_refusing, status_of

FULL = State("disk_full", "less than 5 MB are free")


class Part:
    """A part of the server that tells its states."""

    def __init__(self) -> None:
        self.now: list[State] = []

    def states(self) -> Iterator[State]:
        yield from self.now


def test_every_name_has_a_sentence_and_a_remedy() -> None:
    assert set(KINDS) == set(get_args(states.Name))
    for name, kind in KINDS.items():
        assert kind.sentence, name
        assert kind.remedy, name


def test_the_most_severe_is_told_first_and_each_once() -> None:
    one, other = Part(), Part()
    both = States(one.states, other.states)
    assert (status_of(both.look()), is_refusing(both.look())) == ("ok", False)
    other.now = [State("draining")]
    one.now = [FULL, FULL]
    assert [state.name for state in both.look()] == ["draining", "disk_full"]
    assert (status_of(both.look()), is_refusing(both.look())) == ("draining", True)


def test_a_state_says_more_than_its_kind_where_it_can() -> None:
    assert (FULL.sentence, FULL.remedy) == ("less than 5 MB are free", KINDS["disk_full"].remedy)
    assert State("disk_full").sentence == KINDS["disk_full"].sentence


def test_each_change_is_logged_and_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    part = Part()
    seen = States(part.states)
    for now in ([], [FULL], [FULL], [], []):
        part.now = now
        seen.look()
        assert STATE.labels("disk_full")._value.get() == len(now)
    assert [(record.levelno, record.getMessage().split()[0]) for record in caplog.records] == [
        (logging.WARNING, "state_entered"),
        (logging.WARNING, "state_left"),
    ]
