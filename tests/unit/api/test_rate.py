"""The buckets of callers, on a clock that the test moves."""

import pytest

from imgserve.api.rate import RateLimited, Rates
from imgserve.request.principal import Principal

ONE, OTHER = Principal("one", "one"), Principal("other", "other")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(rates: Rates, principal: Principal = ONE) -> int:
    """How many requests are let through now."""
    for count in range(1000):
        try:
            rates.take(principal)
        except RateLimited:
            return count
    return 1000


def test_as_many_as_the_burst_at_once_then_one_by_one() -> None:
    clock = Clock()
    rates = Rates(30, 5, clock)
    assert taken(rates) == 5
    for passed, count in ((1.0, 0), (1.0, 1), (3.0, 1), (1.0, 1), (10.0, 5), (1e6, 5)):
        clock.now += passed
        assert taken(rates) == count, passed
    assert taken(rates, OTHER) == 5


@pytest.mark.parametrize(("per_minute", "passed", "wait_s"), [(60, 0.0, 1), (60, 0.4, 1), (20, 0.5, 3), (1, 0.5, 60)])
def test_the_wait_is_whole_seconds_and_enough(per_minute: int, passed: float, wait_s: int) -> None:
    clock = Clock()
    rates = Rates(per_minute, 1, clock)
    rates.take(ONE)
    clock.now += passed
    with pytest.raises(RateLimited) as limited:
        rates.take(ONE)
    assert limited.value.retry_after_s == wait_s
    clock.now += wait_s
    rates.take(ONE)


def test_who_is_refused_loses_nothing() -> None:
    clock = Clock()
    rates = Rates(60, 1, clock)
    rates.take(ONE)
    for _ in range(10):
        clock.now += 0.09
        assert taken(rates) == 0
    clock.now += 0.2
    rates.take(ONE)


def test_nought_is_no_limit() -> None:
    assert taken(Rates(0, 1, Clock())) == 1000
