"""(error, failures so far) -> the next step. Pure; docs/guarantees.md has the rules.

Only retryable errors are tried again: after 2*2^n seconds (n = failures so far) capped at 600, a fifth of jitter to
either side, until the deadline. Where that wait would pass the deadline, one last attempt comes shortly before it. A
dead worker is charged to ``crashes``: the second death quarantines the output, the third ends it. Each class of error
has its charge, and its cap on attempts if it has one (``errors``).
"""

import msgspec

from imgserve.errors import Charge, ImgserveError

FIRST_DELAY_S = 2.0
MAX_DELAY_S = 600.0
JITTER = 0.2
LONGEST_DELAY_S = MAX_DELAY_S * (1.0 + JITTER)
# Time for the last attempt to fetch, render and deliver before the deadline.
LAST_ATTEMPT_S = 30.0
MAX_CRASHES = 3
# When a webhook is tried, after its event: as Standard Webhooks proposes, for a day.
WEBHOOK_TRIES_AT_S = (
    0.0, 5.0, 300.0, 1800.0, 2 * 3600.0, 5 * 3600.0, 10 * 3600.0, 14 * 3600.0, 20 * 3600.0, 24 * 3600.0,
)  # fmt: skip


class Fail(msgspec.Struct, frozen=True):
    """The end of an output. ``error`` is the code to store, it may say more than the error's own."""

    error: str
    charge: Charge = "none"


class Retry(msgspec.Struct, frozen=True):
    delay_s: float
    charge: Charge


Decision = Fail | Retry


def backoff(failures: int, jitter: float, first_delay_s: float = FIRST_DELAY_S) -> float:
    """Seconds to wait after ``failures`` earlier ones; ``jitter`` is from 0 to 1, 0.5 changes nothing."""
    delay = min(first_delay_s * 2.0 ** min(failures, 32), MAX_DELAY_S)
    return float(delay * _spread(jitter))


def webhook_delay(failures: int, jitter: float) -> float | None:
    """Seconds from a failed try to the next one, after ``failures`` earlier ones; None: that was the last."""
    tries_at_s = WEBHOOK_TRIES_AT_S[failures : failures + 2]
    if len(tries_at_s) < 2:
        return None
    return (tries_at_s[1] - tries_at_s[0]) * _spread(jitter)


def _spread(jitter: float) -> float:
    return 1.0 - JITTER + 2.0 * JITTER * jitter


def decide(
    error: ImgserveError,
    *,
    attempts: int,
    crashes: int,
    left_s: float,
    jitter: float,
    first_delay_s: float = FIRST_DELAY_S,
) -> Decision:
    """The step after ``error``, with ``left_s`` seconds to the job's deadline."""
    if error.charge == "crash" and crashes + 1 >= MAX_CRASHES:
        return Fail("poison", "crash")
    if error.charge != "attempt" and left_s <= -error.overdue_s:
        return Fail("deadline", error.charge)
    if error.charge != "attempt":
        return Retry(error.retry_delay_s, error.charge)
    if not error.is_retryable:
        return Fail(error.code, "attempt")
    if error.max_attempts is not None and attempts + 1 >= error.max_attempts:
        return Fail(error.code, "attempt")
    delay = max(backoff(attempts, jitter, first_delay_s), error.retry_after_s or 0.0)
    if left_s - LAST_ATTEMPT_S >= first_delay_s:
        delay = min(delay, left_s - LAST_ATTEMPT_S)
    if delay >= left_s:
        return Fail("deadline", "attempt")
    return Retry(delay, "attempt")
