"""Errors and what follows them: the table of DESIGN's retries, and the bounds of the back-off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.descriptors import OutOfDescriptors
from imgserve.engine.attempt import AttemptBug, AttemptTimeout, SourceIsPlaceholder
from imgserve.errors import ImgserveError
from imgserve.imaging.faults import (
    PictureTooLarge,
    RenderFailed,
    RenderTimeout,
    SourceUnreadable,
    SvgInvalid,
    WorkerDied,
)
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.retry import Decision, Fail, Retry, backoff, decide, webhook_delay
from imgserve.transfer.faults import DeliveryFailed, DeliveryUnknown, SourceUnavailable, TransfersBusy

DAY_S = 86_400.0
HEALS = DeliveryFailed("busy", is_retryable=True)


def after(
    error: ImgserveError, *, attempts: int = 0, crashes: int = 0, left_s: float = DAY_S, jitter: float = 0.5
) -> Decision:
    return decide(error, attempts=attempts, crashes=crashes, left_s=left_s, jitter=jitter)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 2), (1, 4), (2, 8), (3, 16), (7, 256), (8, 512), (9, 600), (10, 600), (1000, 600)],
)
def test_backoff_doubles_up_to_ten_minutes(failures: int, seconds: float) -> None:
    assert backoff(failures, 0.5) == pytest.approx(seconds)
    assert backoff(failures, 0.0) == pytest.approx(seconds * 0.8)
    assert backoff(failures, 1.0) == pytest.approx(seconds * 1.2)


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_backoff_stays_in_its_bounds(failures: int, jitter: float) -> None:
    middle = min(2.0 * 2.0 ** min(failures, 20), 600.0)
    assert middle * 0.8 - 1e-9 <= backoff(failures, jitter) <= middle * 1.2 + 1e-9


@given(st.integers(0, 100), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_more_jitter_never_waits_less(failures: int, one: float, other: float) -> None:
    assert backoff(failures, min(one, other)) <= backoff(failures, max(one, other))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (HEALS, Retry(2.0, "attempt")),
        (DeliveryUnknown("no answer"), Retry(2.0, "attempt")),
        (SourceUnavailable("no", is_retryable=True), Retry(2.0, "attempt")),
        (SourceUnavailable("404"), Fail("source_unavailable", "attempt")),
        (DeliveryFailed("403"), Fail("delivery_failed", "attempt")),
        (SourceUnreadable("noise"), Fail("source_unreadable", "attempt")),
        (SvgInvalid("noise"), Fail("svg_invalid", "attempt")),
        (PictureTooLarge("huge"), Fail("picture_too_large", "attempt")),
        (RenderFailed("no"), Fail("render_failed", "attempt")),
        (RenderTimeout("slow"), Retry(2.0, "attempt")),
        (StorageFailing("full"), Retry(1.0, "none")),
        (TransfersBusy("a crowd"), Retry(1.0, "none")),
        (WorkerDied("9"), Retry(1.0, "crash")),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_what_follows_an_error(error: ImgserveError, expected: Decision) -> None:
    assert after(error) == expected


@pytest.mark.parametrize("error", [RenderTimeout("slow"), AttemptTimeout("slow"), AttemptBug("a fault of ours")])
def test_a_fault_that_may_be_the_pictures_own_has_ten_attempts_and_no_more(error: ImgserveError) -> None:
    for attempts in range(9):
        assert isinstance(after(error, attempts=attempts), Retry)
    assert after(error, attempts=9) == Fail(error.code, "attempt")


@pytest.mark.parametrize(
    "error", [HEALS, SourceUnavailable("503", is_retryable=True), SourceIsPlaceholder("still"), OutOfDescriptors()]
)
def test_what_time_can_heal_has_attempts_until_the_deadline(error: ImgserveError) -> None:
    for attempts in (9, 10, 100, 1000):
        assert isinstance(after(error, attempts=attempts), Retry)


@pytest.mark.parametrize(("crashes", "expected"), [(0, Retry(1.0, "crash")), (1, Retry(1.0, "crash"))])
def test_the_first_two_deaths_of_a_worker_are_tried_again(crashes: int, expected: Decision) -> None:
    assert after(WorkerDied("9"), crashes=crashes) == expected


def test_the_third_death_is_poison() -> None:
    assert after(WorkerDied("9"), crashes=2) == Fail("poison", "crash")


def test_deaths_are_no_attempts() -> None:
    assert after(WorkerDied("9"), attempts=1000) == Retry(1.0, "crash")
    assert after(HEALS, crashes=2) == Retry(2.0, "attempt")


@pytest.mark.parametrize(("wish_s", "delay_s"), [(None, 2.0), (1.0, 2.0), (30.0, 30.0), (5000.0, 5000.0)])
def test_the_peers_wish_is_the_least(wish_s: float | None, delay_s: float) -> None:
    error = DeliveryFailed("429", is_retryable=True, retry_after_s=wish_s)
    assert after(error) == Retry(delay_s, "attempt")


@pytest.mark.parametrize(
    ("left_s", "expected"),
    [(2.1, Retry(2.0, "attempt")), (2.0, Fail("deadline", "attempt")), (-5.0, Fail("deadline", "attempt"))],
)
def test_nothing_is_tried_beyond_the_deadline(left_s: float, expected: Decision) -> None:
    assert after(HEALS, left_s=left_s) == expected


@pytest.mark.parametrize(
    ("left_s", "expected"),
    [
        (631.0, Retry(600.0, "attempt")),
        (629.0, Retry(599.0, "attempt")),
        (32.0, Retry(2.0, "attempt")),
        (31.9, Fail("deadline", "attempt")),  # this was the last one
    ],
)
def test_the_last_attempt_comes_shortly_before_the_deadline(left_s: float, expected: Decision) -> None:
    assert after(HEALS, attempts=20, left_s=left_s) == expected


def test_waiting_for_a_transfer_slot_ends_an_hour_after_the_deadline() -> None:
    """A job past its deadline has its attempt still, but does not wait for ever."""
    assert after(TransfersBusy("a crowd"), attempts=9, left_s=0.5) == Retry(1.0, "none")
    assert after(TransfersBusy("a crowd"), attempts=9, left_s=-3599.0) == Retry(1.0, "none")
    assert after(TransfersBusy("a crowd"), attempts=9, left_s=-3600.0) == Fail("deadline", "none")


def test_a_wish_beyond_the_deadline_has_its_last_attempt_before_it() -> None:
    error = DeliveryFailed("429", is_retryable=True, retry_after_s=3600.0)
    assert after(error, left_s=3600.0) == Retry(3570.0, "attempt")
    assert after(error, left_s=30.0) == Fail("deadline", "attempt")


@given(st.integers(0, 10_000), st.integers(0, 5), st.floats(-10, DAY_S), st.floats(0, 1))
def test_a_retry_is_always_within_the_deadline(attempts: int, crashes: int, left_s: float, jitter: float) -> None:
    decision = after(HEALS, attempts=attempts, crashes=crashes, left_s=left_s, jitter=jitter)
    if isinstance(decision, Retry):
        assert 1.6 <= decision.delay_s < left_s
        assert decision.delay_s <= 720.0 + 1e-9
    else:
        assert decision == Fail("deadline", "attempt")
        assert left_s <= 720.0


@given(st.integers(0, 3), st.floats(60, 7 * DAY_S), st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_whoever_fails_until_the_deadline_is_tried_in_its_last_minute(
    attempts: int, deadline_s: float, jitters: list[float]
) -> None:
    """And at least every twelve minutes before, so that a destination that is back gets its picture by then."""
    now, tries = 0.0, attempts
    while isinstance(
        decision := after(HEALS, attempts=tries, left_s=deadline_s - now, jitter=jitters[tries % len(jitters)]), Retry
    ):
        now, tries = now + decision.delay_s, tries + 1
    assert decision == Fail("deadline", "attempt")
    assert deadline_s - 60.0 <= now < deadline_s
    assert tries - attempts >= deadline_s / 720.0 - 1


def test_a_webhook_is_tried_ten_times_within_a_day() -> None:
    tries_at, failures = [0.0], 0
    while (delay := webhook_delay(failures, 0.5)) is not None:
        tries_at.append(tries_at[-1] + delay)
        failures += 1
    hours = [0, 5 / 3600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24]
    assert tries_at == pytest.approx([3600 * at for at in hours])
    assert webhook_delay(1, 0.0) == pytest.approx(295 * 0.8)
    assert webhook_delay(1, 1.0) == pytest.approx(295 * 1.2)
