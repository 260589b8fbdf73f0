"""The client's decisions, step by step: what is sent again, when, and what is not."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from imgserve.client import calls, flows
from imgserve.client.answers import Job
from imgserve.client.calls import Call, Reply, Request
from imgserve.client.errors import AnswerInvalid, ApiError, StillRunning, Unreachable
from imgserve.client.flows import Flow, Lost, Outcome, Patience, Pause
from tests.unit.client.test_answers import FUTURE

ENDED = Reply(200, {"preference-applied": "wait=60"}, FUTURE)
OPEN = Reply(200, {}, json.dumps({**json.loads(FUTURE), "status": "running", "ended_at": None}).encode())
HELD = Reply(200, {"preference-applied": "wait=60"}, OPEN.body)
UNSENT, CUT = Lost("refused", is_sent=False), Lost("cut", is_sent=True)
PROXY = Reply(502, {}, b"<h1>Bad Gateway</h1>")


def problem(status: int, code: str, **headers: str) -> Reply:
    body = {"type": f"urn:imgserve:problem:{code}", "title": "T", "status": status, "detail": "D", "code": code}
    fault = {"path": "outputs[0].destination", "code": "c", "detail": "d"}
    text = json.dumps({**body, "hint": "H", "retryable": True, "request_id": "r-1", "errors": [fault], "later": 1})
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, text.encode())


BUSY = problem(503, "intake_full", retry_after="3")


class Run:
    """A flow that is carried out with these outcomes; ``now`` is moved by its pauses, and by ``takes_s`` a request."""

    def __init__(self, outcomes: Iterable[Outcome], *, retry_s: float = 60.0, takes_s: float = 0.0) -> None:
        self.now = 100.0
        self.patience = Patience(retry_s, lambda: self.now, lambda: 0.5)
        self.requests: list[Request] = []
        self.pauses: list[float] = []
        self._outcomes = iter(outcomes)
        self._takes_s = takes_s

    def __call__(self, flow: Flow[Any]) -> Any:
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                return end.value
            if isinstance(step, Pause):
                self.pauses.append(step.seconds)
                self.now += step.seconds
                outcome = None
            else:
                self.requests.append(step)
                self.now += self._takes_s
                outcome = next(self._outcomes)


SUBMIT = calls.submit("https://h.test/a.jpg", [{"destination": "file:///a.png"}], "order-1", {"priority": "low"})
RETRY = calls.retry("5f3a", None)


def test_a_job_is_sent_again_with_the_same_key() -> None:
    run = Run([UNSENT, CUT, BUSY, PROXY, ENDED])
    job = run(flows.answered(SUBMIT, run.patience))
    assert job.id == "5f3a"
    assert run.requests == [SUBMIT.request] * 5
    assert dict(run.requests[0].headers)["idempotency-key"] == "order-1"
    assert json.loads(run.requests[0].body)["priority"] == "low"
    assert run.pauses == [0.2, 0.4, 3.0, 1.6], "Retry-After is kept where it is longer"


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500])
def test_a_refusal_is_final(status: int) -> None:
    run = Run([problem(status, "some_code")])
    with pytest.raises(ApiError) as caught:
        run(flows.answered(SUBMIT, run.patience))
    error = caught.value
    assert (error.status, error.code, error.detail, error.hint) == (status, "some_code", "D", "H")
    assert (error.request_id, error.is_retryable) == ("r-1", True)
    assert [(fault.path, fault.code) for fault in error.errors] == [("outputs[0].destination", "c")]
    assert str(error) == f"{status} some_code: D (H)"
    assert len(run.requests) == 1


@pytest.mark.parametrize(
    ("outcome", "call"), [(CUT, RETRY), (PROXY, RETRY), (problem(502, "source_unavailable"), SUBMIT)]
)
def test_what_may_have_been_done_is_not_done_twice(outcome: Outcome, call: Call[Job]) -> None:
    run = Run([outcome])
    with pytest.raises((Unreachable, ApiError)):
        run(flows.answered(call, run.patience))
    assert len(run.requests) == 1


def test_what_was_not_done_is_sent_again() -> None:
    run = Run([UNSENT, problem(429, "quota_full"), ENDED])
    assert run(flows.answered(RETRY, run.patience)).id == "5f3a"


def test_it_gives_up_in_time() -> None:
    run = Run([UNSENT] * 100, retry_s=5.0)
    with pytest.raises(Unreachable, match="refused"):
        run(flows.answered(SUBMIT, run.patience))
    assert run.pauses == [0.2, 0.4, 0.8, 1.6]
    run = Run([problem(503, "draining", retry_after="90")])
    with pytest.raises(ApiError) as caught:
        run(flows.answered(SUBMIT, run.patience))
    assert caught.value.retry_after_s == 90
    run = Run([UNSENT], retry_s=0)
    with pytest.raises(Unreachable):
        run(flows.answered(SUBMIT, run.patience))


@pytest.mark.parametrize(("chance", "pause_s"), [(0.0, 0.16), (1.0, 0.24)])
def test_pauses_are_spread(chance: float, pause_s: float) -> None:
    run = Run([UNSENT, ENDED])
    run(flows.answered(SUBMIT, msgspec.structs.replace(run.patience, chance=lambda: chance)))
    assert run.pauses == [pytest.approx(pause_s)]


def test_an_answer_of_something_else() -> None:
    run = Run([Reply(200, {}, b"<h1>Welcome</h1>")])
    with pytest.raises(AnswerInvalid) as caught:
        run(flows.answered(SUBMIT, run.patience))
    assert "is it an imgserve" in caught.value.sentence()


def test_a_wait_asks_until_the_job_has_ended() -> None:
    run = Run([HELD, OPEN, HELD, ENDED])
    assert run(flows.ended("5f3a", None, run.patience)).has_ended
    assert {dict(request.headers)["prefer"] for request in run.requests} == {"wait=60"}
    assert run.pauses == [1.0], "after the answer that was not held back"


def test_a_wait_with_an_end() -> None:
    run = Run([HELD, OPEN, OPEN], takes_s=60.0)
    with pytest.raises(StillRunning) as caught:
        run(flows.ended("5f3a", 90.5, run.patience))
    assert caught.value.job.status == "running"
    assert isinstance(caught.value, TimeoutError)
    assert [request.wait_s for request in run.requests] == [60, 30]
    run = Run([OPEN, OPEN], takes_s=0.1)
    with pytest.raises(StillRunning):
        run(flows.ended("5f3a", 0.5, run.patience))
    assert [dict(request.headers) for request in run.requests] == [{}, {}], "the shortest wait is a second"


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, "a\r\nb"])
def test_a_key_that_no_header_can_hold(key: str) -> None:
    with pytest.raises(ValueError, match="idempotency key"):
        calls.submit("https://h.test/a.jpg", [], key, {})
