"""Priorities: the highest lane first, and none starves."""

from collections.abc import Set

from hypothesis import given
from hypothesis import strategies as st

from imgserve.jobs.lanes import ORDER, WINDOW, Turns
from imgserve.request.job import Priority

DUE = st.sets(st.sampled_from(ORDER), min_size=1)


def claims(turns: Turns, due: list[Set[Priority]], principal: str = "a") -> list[Priority]:
    chosen = []
    for lanes in due:
        chosen.append(turns.next(principal, lanes))
        turns.claimed(principal, chosen[-1], lanes)
    return chosen


@given(st.lists(DUE, max_size=80))
def test_of_eleven_claims_in_a_row_each_lane_with_a_due_job_gets_one(due: list[set[Priority]]) -> None:
    chosen = claims(Turns(), list(due))
    for start in range(len(due) - WINDOW + 1):
        window = slice(start, start + WINDOW)
        for lane in ORDER:
            assert lane in chosen[window] or not all(lane in lanes for lanes in due[window])
    assert all(lane in lanes for lane, lanes in zip(chosen, due, strict=True))


def test_the_highest_lane_gets_all_others() -> None:
    chosen = claims(Turns(), [set(ORDER)] * 110)
    assert {lane: chosen.count(lane) for lane in ORDER} == {"high": 89, "normal": 10, "low": 11}
    assert claims(Turns(), [{"low"}, {"low", "normal"}, set(ORDER)]) == ["low", "normal", "high"]


def test_principals_have_turns_of_their_own() -> None:
    turns = Turns()
    claims(turns, [set(ORDER)] * (WINDOW - 2))
    assert turns.next("a", set(ORDER)) == "low"
    assert turns.next("b", set(ORDER)) == "high"
