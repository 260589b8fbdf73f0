"""A stream of events at its reader: however it is cut, whenever its connection ends."""

import json

import pytest

from imgserve.client.calls import Reply
from imgserve.client.errors import AnswerInvalid, ApiError, Unreachable
from imgserve.client.events import Blocks, Feed
from imgserve.client.flows import Lost, Patience
from tests.unit.client.test_answers import FUTURE
from tests.unit.client.test_flows import BUSY, CUT, PROXY, UNSENT, problem

ENDED = json.loads(FUTURE)
OPEN = {**ENDED, "status": "running", "ended_at": None}


def block(number: int, kind: str, job: object) -> bytes:
    data = json.dumps({"type": kind, "timestamp": "2027-01-01T12:00:09Z", "data": {"job": job, "output": "card"}})
    return f"id: {number}\nevent: {kind}\ndata: {data}\n\n".encode()


STREAM = block(7, "output.delivered", OPEN) + b": ping\n\n" + block(9, "job.succeeded", ENDED)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.patience = Patience(60.0, lambda: self.now, lambda: 0.5)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("size", [1, 3, 100, 10_000])
@pytest.mark.parametrize("stream", [STREAM, STREAM.replace(b"\n", b"\r\n")], ids=["lf", "crlf"])
def test_events_come_whole(clock: Clock, size: int, stream: bytes) -> None:
    feed = Feed(clock.patience)
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    events = [event for piece in pieces for event in feed.take(piece)]
    assert [(event.id, event.type) for event in events] == [("7", "output.delivered"), ("9", "job.succeeded")]
    assert events[0].job is not None
    assert events[0].output == events[0].job.output("card")


def test_fields_of_a_block() -> None:
    [only] = Blocks().take(b"data:a\ndata:  b\nid\nevent:x\nevent: y\nodd: 1\n\n")
    assert (only.id, only.event, only.data) == ("", "y", b"a\n b")


def test_a_gap_has_no_job(clock: Clock) -> None:
    data = b'{"type":"gap","timestamp":"2027-01-01T12:00:09Z","data":{"job":null,"output":null}}'
    [gap] = Feed(clock.patience).take(b"id: 3\nevent: gap\ndata: %s\n\n" % data)
    assert (gap.id, gap.type, gap.job) == ("3", "gap", None)
    [later] = Feed(clock.patience).take(b"id: 3\nevent: new\ndata: {}\n\n")
    assert (later.type, later.job, later.timestamp) == ("new", None, None)


def test_it_goes_on_where_it_was(clock: Clock) -> None:
    feed = Feed(clock.patience, types=("job.failed", "job.succeeded"))
    first = feed.request()
    assert (first.path, first.query, dict(first.headers)) == (
        "/v1/events", (("type", "job.failed,job.succeeded"),), {"accept": "text/event-stream"},
    )  # fmt: skip
    assert len(list(feed.take(STREAM + block(11, "job.failed", ENDED)[:-1]))) == 2
    assert feed.failed(CUT) == 0.2
    assert dict(feed.request().headers)["last-event-id"] == "9", "what was cut off comes again"
    assert list(feed.take(b"id: 10\n\n")) == []
    assert dict(feed.request().headers)["last-event-id"] == "10", "an id may come alone"
    assert dict(Feed(clock.patience, after="5").request().headers)["last-event-id"] == "5"


def test_a_jobs_stream_ends_with_the_job(clock: Clock) -> None:
    feed = Feed(clock.patience, "a/b")
    assert feed.request().path == "/v1/jobs/a%2Fb/events"
    list(feed.take(block(7, "output.delivered", OPEN)))
    assert (feed.ended() > 0, feed.is_over) == (True, False), "the server was stopped"
    list(feed.take(block(9, "job.succeeded", ENDED)))
    assert (feed.ended(), feed.is_over) == (0, True)
    back = Feed(clock.patience, "a/b", after="9")
    back.opened(204, "")
    assert (back.ended(), back.is_over) == (0, True), "it has all events"
    every = Feed(clock.patience)
    list(every.take(STREAM))
    assert (every.ended() > 0, every.is_over) == (True, False)


def test_it_gives_up_after_a_minute_of_silence(clock: Clock) -> None:
    feed = Feed(clock.patience)
    outcomes: list[Lost | Reply] = [UNSENT, BUSY, PROXY]
    assert [feed.failed(outcome) for outcome in outcomes] == [0.2, 3.0, 0.8]
    clock.now = 59
    list(feed.take(b": ping\n\n"))
    clock.now = 118
    assert feed.failed(CUT) == 0.2, "since the ping"
    clock.now = 119
    with pytest.raises(Unreachable):
        feed.failed(CUT)
    with pytest.raises(Unreachable, match="ends the stream"):
        feed.ended()


def test_answers_that_are_no_stream(clock: Clock) -> None:
    feed = Feed(clock.patience)
    with pytest.raises(ApiError):
        feed.failed(problem(401, "not_authorised"))
    with pytest.raises(AnswerInvalid):
        feed.opened(200, "text/html")
    feed.opened(200, "text/event-stream; charset=utf-8")
    with pytest.raises(AnswerInvalid):
        list(feed.take(b"data: <h1>\n\n"))
