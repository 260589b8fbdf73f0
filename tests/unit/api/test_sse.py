"""The text of server-sent events, as their grammar reads it, and the id that a client comes back with."""

import json
import re

import pytest

from imgserve.api.http import sse
from imgserve.request.faults import RequestInvalid

FIELD = re.compile(r"(\w*):? ?(.*)")


def events_in(stream: bytes) -> list[dict[str, str]]:
    """As the standard's algorithm reads it: comments and blocks without data are passed over."""
    blocks = stream.decode().split("\n\n")
    assert blocks.pop() == "", "the last event has no blank line behind it"
    fields = [[FIELD.fullmatch(line) for line in block.split("\n") if not line.startswith(":")] for block in blocks]
    events = [{match[1]: match[2] for match in block if match} for block in fields]
    return [event for event in events if "data" in event]


def test_an_event_has_its_three_fields_and_a_ping_is_none() -> None:
    body = json.dumps({"type": "job.failed", "data": {"job": {"metadata": {"a": "line\nline\r  event: x"}}}}).encode()
    stream = sse.event(7, "job.failed", body) + sse.ping(7) + sse.event(8, "gap", b"{}") + sse.ping(9)
    assert events_in(stream) == [
        {"id": "7", "event": "job.failed", "data": body.decode()},
        {"id": "8", "event": "gap", "data": "{}"},
    ]


@pytest.mark.parametrize(
    ("headers", "after", "expected"),
    [
        ([], None, None),
        ([b""], None, None),
        ([b""], "3", 3),
        ([b"12"], None, 12),
        ([], "0", 0),
        ([b"12"], "3", 12),
    ],
)
def test_the_place_of_a_client(headers: list[bytes], after: str | None, expected: int | None) -> None:
    assert sse.last_id([(b"last-event-id", value) for value in headers] + [(b"x-other", b"9")], after) == expected


@pytest.mark.parametrize(
    ("headers", "after", "path"),
    [
        ([b"one"], None, ("header", "Last-Event-ID")),
        ([b"-1"], None, ("header", "Last-Event-ID")),
        ([b"1", b"2"], None, ("header", "Last-Event-ID")),
        (["\u0661".encode()], None, ("header", "Last-Event-ID")),
        ([b"9" * 19], None, ("header", "Last-Event-ID")),
        ([], "", ("query", "after")),
        ([], "1e3", ("query", "after")),
    ],
)
def test_what_is_no_id(headers: list[bytes], after: str | None, path: tuple[str, ...]) -> None:
    with pytest.raises(RequestInvalid) as refusal:
        sse.last_id([(b"last-event-id", value) for value in headers], after)
    assert [fault.path for fault in refusal.value.faults] == [path]
