"""The decisions of a client: which requests are sent again, after how long, and until when. Without I/O or a clock.

A flow is a generator. It yields the steps to take, a request or a pause, and is sent the outcome of each: a reply, or
the reason why there is none. ``Client`` and ``AsyncClient`` carry the same flows out.
"""

import random
import time
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

import msgspec

from imgserve.client import calls
from imgserve.client.answers import Job
from imgserve.client.calls import LONGEST_WAIT_S, Call, Reply, Request
from imgserve.client.errors import ApiError, StillRunning, Unreachable, api_error
from imgserve.errors import ImgserveError

T = TypeVar("T")

RETRY_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
# The server answers at once if too many clients wait.
UNHELD_PAUSE_S = 1.0
# Of a server that does not have the time now; it has done nothing.
_LATER = (429, 503)
# Of a proxy in between that got no answer: the server may have done its part.
_LOST = (502, 504)


class Pause(msgspec.Struct, frozen=True):
    seconds: float


class Lost(msgspec.Struct, frozen=True):
    """No reply came. ``is_sent``: the server may have got the request."""

    reason: str
    is_sent: bool


Step = Request | Pause
Outcome = Reply | Lost | None
Flow = Generator[Step, Outcome, T]


class Patience(msgspec.Struct, frozen=True):
    """``retry_s``: how long one call is tried. ``clock`` is monotonic; ``chance`` is from 0 to 1."""

    retry_s: float = RETRY_S
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def spread(self, pause_s: float, error: ImgserveError) -> float:
        """20 % more or less, so that many clients do not come back at once; longer if the server says so."""
        return max(pause_s * (0.8 + 0.4 * self.chance()), error.retry_after_s or 0.0)


def answered(call: Call[T], patience: Patience) -> Flow[T]:
    """The result of the call. Raises ApiError, Unreachable, AnswerInvalid."""
    ends_at = patience.clock() + patience.retry_s
    for pause_s in pauses():
        outcome = yield call.request
        if isinstance(outcome, Reply) and outcome.status < 400:
            return call.read(outcome)
        error = error_of(outcome)
        after_s = patience.spread(pause_s, error)
        if not may_repeat(error, outcome, is_repeatable=call.is_repeatable) or patience.clock() + after_s > ends_at:
            raise error
        yield Pause(after_s)
    raise AssertionError("the pauses never end")


def ended(job_id: str, timeout_s: float | None, patience: Patience) -> Flow[Job]:
    """The job once it has ended. Raises StillRunning, and as ``answered`` does."""
    started = patience.clock()
    while True:
        left_s = LONGEST_WAIT_S if timeout_s is None else max(started + timeout_s - patience.clock(), 0.0)
        held = yield from answered(calls.job(job_id, min(int(left_s), LONGEST_WAIT_S)), patience)
        if held.job.has_ended:
            return held.job
        if timeout_s is not None and patience.clock() - started >= timeout_s:
            raise StillRunning(held.job, timeout_s)
        if not held.is_held:
            yield Pause(min(UNHELD_PAUSE_S, left_s))


def pauses() -> Iterator[float]:
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def error_of(outcome: Outcome) -> ImgserveError:
    if isinstance(outcome, Reply):
        return api_error(outcome.status, outcome.body, outcome.headers.get("retry-after", ""))
    assert outcome is not None, "only a pause has no outcome"
    return Unreachable(outcome.reason, "is the server running, and its URL right?")


def may_repeat(error: ImgserveError, outcome: Outcome, *, is_repeatable: bool) -> bool:
    if isinstance(outcome, Lost):
        return is_repeatable or not outcome.is_sent
    is_of_proxy = isinstance(error, ApiError) and not error.code
    return error.status in _LATER or (error.status in _LOST and is_of_proxy and is_repeatable)
