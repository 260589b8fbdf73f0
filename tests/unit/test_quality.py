"""When ``bench.quality`` calls a step void."""

import pytest
from bench.quality import Figures

BEFORE = Figures(512, 76.0, 60.0, 100.0, 10.0)


@pytest.mark.parametrize(
    ("mean_score", "size_kb", "words"),
    [
        (75.51, 101.9, "-0.49 | +1.9% | 0.50 | stands"),
        (75.49, 100.0, "-0.51 | +0.0% | 0.50 | VOID"),
        (79.00, 102.1, "+3.00 | +2.1% | 0.50 | VOID"),
        (77.00, 80.0, "+1.00 | -20.0% | 0.50 | stands"),
    ],
)
def test_a_step_that_loses_half_a_point_or_two_per_cent_is_void(mean_score: float, size_kb: float, words: str) -> None:
    assert Figures(512, mean_score, 60.0, size_kb, 5.0).verdict(BEFORE) == words
