"""The judgement of ``bench.compare``: its interval and its verdict."""

import random

import pytest
from bench.compare import Interval, interval, verdict


def ratios(middle: float, spread: float, count: int) -> list[float]:
    chance = random.Random(1)
    return [chance.gauss(middle, spread) for _ in range(count)]


def test_the_interval_holds_the_median_of_what_was_drawn_from_nineteen_times_of_twenty() -> None:
    chance = random.Random(7)
    samples = [[chance.gauss(1.0, 0.05) for _ in range(12)] for _ in range(40)]
    held = sum(found.low <= 1.0 <= found.high for found in map(interval, samples))
    assert 36 <= held <= 40


def test_the_interval_is_as_wide_as_the_noise() -> None:
    quiet, noisy = interval(ratios(1.0, 0.005, 20)), interval(ratios(1.0, 0.05, 20))
    assert quiet.low <= quiet.middle <= quiet.high
    assert noisy.high - noisy.low > 4 * (quiet.high - quiet.low)
    assert interval([1.5] * 10) == Interval(1.5, 1.5, 1.5)


@pytest.mark.parametrize(
    ("ratio", "rounds", "words"),
    [
        (Interval(0.99, 1.0, 1.019), 10, "met, the interval lies below"),
        (Interval(1.02, 1.1, 1.2), 10, "MISSED, the interval lies above"),
        (Interval(0.9, 1.0, 1.1), 29, "undecided"),
        (Interval(0.9, 1.019, 1.1), 30, "met by the median of 30 rounds"),
        (Interval(0.9, 1.02, 1.1), 30, "MISSED by the median of 30 rounds"),
    ],
)
def test_the_verdict(ratio: Interval, rounds: int, words: str) -> None:
    assert words in verdict(ratio, rounds)
