"""The judgements of bench.quality."""

import pytest
from bench.quality import Row, at_bytes, verdict

BEFORE = Row(74.0, 60.0, 25_000, 10.0)


@pytest.mark.parametrize(
    ("score", "size_bytes", "word"),
    [(74.0, 25_000, "stands"), (73.5, 25_490, "stands"), (73.4, 25_000, "VOID"), (80.0, 25_600, "VOID")],
)
def test_a_step_is_void_if_it_loses_more_than_half_a_point_or_grows_by_more_than_two_percent(
    score: float, size_bytes: float, word: str
) -> None:
    assert verdict(Row(score, 60.0, size_bytes, 8.0), BEFORE).endswith(f"| 0.80 | {word} |")


def test_the_score_at_equal_bytes_lies_on_the_line_through_both_points() -> None:
    points = [Row(70.0, 60.0, 10_000, 1.0), Row(80.0, 60.0, 40_000, 1.0)]
    assert at_bytes(points, 10_000) == pytest.approx(70)
    assert at_bytes(points, 20_000) == pytest.approx(75)
    assert at_bytes(points, 80_000) == pytest.approx(85)
