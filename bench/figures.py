"""Summaries of measured numbers, and the words for a target. Called by the benches when they print."""

from collections.abc import Sequence
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """``median (lowest-highest)``."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Least squares: by how much y grows for each x."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    below = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / below if below else 0.0


def verdict(is_met: bool) -> str:
    return "met" if is_met else "MISSED"
