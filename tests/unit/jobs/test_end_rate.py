"""When it is worth asking again, from how fast jobs have ended lately."""

import pytest

from imgserve.jobs.sql.end_rate import MAX_RETRY_S, UNMEASURED_RETRY_S, EndRate

START = 1_000_000.0


def drained(ends: int, over_s: float) -> EndRate:
    rate = EndRate(START)
    for nth in range(ends):
        rate.ended(START + nth * over_s / ends)
    return rate


@pytest.mark.parametrize(
    ("ends", "places", "retry_s"), [(600, 1000, 100), (600, 10, 1), (600, 1, 1), (60, 1000, MAX_RETRY_S)]
)
def test_the_answer_follows_the_rate_of_the_last_minute(ends: int, places: int, retry_s: int) -> None:
    assert drained(ends, 60).retry_after_s(places, START + 60) == pytest.approx(retry_s, rel=0.05)


def test_a_young_server_is_judged_by_its_age() -> None:
    assert drained(100, 10).per_second(START + 10) == pytest.approx(10)


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    rate = drained(600, 60)
    assert rate.per_second(START + 90) == pytest.approx(5, rel=0.05)
    assert rate.per_second(START + 200) == 0
    assert rate.retry_after_s(1, START + 200) == MAX_RETRY_S


def test_before_the_first_end_nobody_knows() -> None:
    assert EndRate(START).retry_after_s(1000, START + 3) == UNMEASURED_RETRY_S
