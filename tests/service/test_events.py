"""Streams of events, as programs and browsers read them: whose events, in which order, from where on, until when."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import msgspec
import pytest

from imgserve.api.v1.streams import MOST, MOST_OF_ONE
from imgserve.client import Client
from tests.support.daemon import wait_until
from tests.support.fronts import FRONTS, Front, Name
from tests.support.native import Caller
from tests.support.streams import LATER, LISTED, Event, Shops, Stream, posted

ONE_JOB = ["output.placeholder", "job.accepted", "job.started", "output.delivered", "job.succeeded"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shops]:
    server = Shops(tmp_path_factory.mktemp("events"))
    with server.daemon:
        yield server


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events]


def test_a_stream_has_the_life_of_each_job_in_its_order(server: Shops) -> None:
    shop = server.shop()
    with server.stream(shop) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        assert stream.headers["x-accel-buffering"] == "no"
        first = posted(shop, server.job(metadata={"a": "line\nbreak"}))
        events = stream.until("job.succeeded")
        assert stream.pings == 1, "the beginning has an id to go on from"
        second = posted(shop, server.job(2))
        events += stream.until("job.succeeded")
    assert types(events[:5]) == ONE_JOB
    assert {event.job_id for event in events[:5]} == {first}
    assert {event.job_id for event in events[5:]} == {second}
    assert sorted(types(events[5:])) == sorted([*ONE_JOB, "output.placeholder", "output.delivered"])
    assert [event.id for event in events] == sorted({event.id for event in events})
    for event in events:
        assert event.data["type"] == event.type
        assert event.data["data"]["job"].keys() == shop.job(first).keys() - {"timeline"}
    assert [event.data["data"]["output"] for event in events[:5]] == ["0", None, None, "0", None]
    assert events[0].data["data"]["job"]["metadata"] == {"a": "line\nbreak"}
    end = events[4].data
    assert end["data"]["job"]["status"] == "succeeded"
    assert end["timestamp"] == end["data"]["job"]["ended_at"] == shop.job(first)["ended_at"]


def test_a_key_sees_its_own_jobs_only_and_the_operator_those_of_all(server: Shops) -> None:
    shop, other = server.shop(), server.shop()
    with server.stream(shop) as own, server.stream(other) as others, server.stream(None) as all_:
        first, second = posted(shop, server.job()), posted(other, server.job())
        assert {event.job_id for event in own.until("job.succeeded")} == {first}
        assert {event.job_id for event in others.until("job.succeeded")} == {second}
        seen = all_.until("job.succeeded") + all_.until("job.succeeded")
    assert {event.job_id for event in seen} == {first, second}
    for job, stranger in ((first, other), (second, shop)):
        with server.stream(stranger, f"/v1/jobs/{job}/events") as hidden:
            assert (hidden.status, hidden.body()["code"]) == (404, "no_such_job")


def test_a_client_goes_on_behind_its_last_event(server: Shops) -> None:
    shop = server.shop()
    with server.stream(shop) as stream:
        posted(shop, server.job())
        events = stream.until("job.succeeded")
    for _ in range(2):
        shop.ended(posted(shop, server.job()))
    with server.stream(shop, Last_Event_ID=str(events[2].id)) as again, server.stream(shop) as from_now:
        rest = again.until("job.succeeded")
        assert rest == events[3:]
        assert len(again.until("job.succeeded") + again.until("job.succeeded")) == 10
        last = posted(shop, server.job())
        assert {event.job_id for event in from_now.until("job.succeeded")} == {last}, "without an id: from now"
    with server.stream(shop, f"/v1/events?after={events[3].id}", Last_Event_ID="") as behind:
        assert next(behind).id == events[4].id
    with server.stream(shop, f"/v1/events?after={events[3].id}", Last_Event_ID=str(events[0].id)) as header:
        assert next(header).id == events[1].id


def test_types_are_chosen(server: Shops) -> None:
    shop = server.shop()
    with server.stream(shop, "/v1/events?type=job.succeeded,job.accepted") as stream:
        posted(shop, server.job())
        assert types(stream.until("job.succeeded")) == ["job.accepted", "job.succeeded"]


def test_an_id_of_another_data_directory_is_a_gap(server: Shops) -> None:
    shop = server.shop()
    posted(shop, server.job())
    shop.ended(shop.page()["jobs"][0]["id"])
    with server.stream(shop, Last_Event_ID="123456789012") as stream:
        gap, *events = stream.until("job.succeeded")
    assert (gap.type, gap.data["type"], gap.data["data"]) == ("gap", "gap", {"job": None, "output": None})
    assert types(events) == ONE_JOB
    assert gap.id < events[0].id


def test_the_stream_of_a_job_begins_with_it_and_ends_with_it(server: Shops) -> None:
    shop = server.shop()
    job = posted(shop, server.job(not_before=LATER))
    with (
        server.stream(shop, f"/v1/jobs/{job}/events") as stream,
        server.stream(None, f"/v1/jobs/{job[:20]}/events") as all_,
    ):
        begin = next(stream)
        assert (begin.type, begin.data["data"]["output"]) == ("job", None)
        assert begin.data["data"]["job"] == {k: v for k, v in shop.job(job).items() if k != "timeline"}
        posted(shop, server.job())
        assert shop("POST", f"/v1/jobs/{job}/cancel").status == 200
        events = list(stream)
        assert types(events) == types(list(all_))[1:] == ["job.cancelled"]
        assert events[0].data["data"]["job"]["status"] == "cancelled"
    with server.stream(shop, f"/v1/jobs/{job}/events", Last_Event_ID=str(events[-1].id)) as back:
        assert back.status == 204, "a browser would come back for ever"
    with server.stream(shop, f"/v1/jobs/{job}/events", Last_Event_ID=str(begin.id)) as back:
        assert types(list(back)) == ["job", "job.cancelled"]
    with server.stream(shop, f"/v1/jobs/{job}/events") as late:
        assert types(list(late)) == ["job"]
    with server.stream(shop, f"/v1/jobs/{job}/events?type=output.failed&after=0") as chosen:
        assert types(list(chosen)) == ["job"], "it ends though the end is not shown"


def test_a_retried_job_goes_on(server: Shops) -> None:
    shop = server.shop()
    refused = server.job()
    refused["outputs"][0] |= {"destination": f"file://{server.top}/out/dir/x.png", "placeholder": "none"}
    (server.top / "out/dir").mkdir()
    blocked = server.top / "out/dir/x.png"
    blocked.mkdir()
    job = posted(shop, refused)
    assert shop.ended(job)["status"] == "failed"
    blocked.rmdir()
    with server.stream(shop) as stream:
        assert shop("POST", f"/v1/jobs/{job}/retry").status == 200
        assert types(stream.until("job.succeeded")) == ["job.retrying", *ONE_JOB[2:]]
    with server.stream(shop, f"/v1/jobs/{job}/events?after=0") as whole:
        assert types(list(whole)) == [
            "job",
            "job.accepted",
            "job.started",
            "output.failed",
            "job.failed",
            "job.retrying",
            *ONE_JOB[2:],
        ]


def test_the_client_for_python_reads_it(server: Shops) -> None:
    shop = server.shop()
    job = posted(shop, server.job())
    with Client(server.daemon.url, key=shop.key) as client:
        ended = client.wait(job)
        first, *events = client.events(job_id=job, after="1")
        assert (first.type, first.job) == ("job", msgspec.structs.replace(ended, timeline=()))
        assert [event.type for event in events] == ONE_JOB
        assert [event.output and event.output.name for event in events] == ["0", None, None, "0", None]
        assert list(client.events(job_id=job, after=events[-1].id)) == []
        gap = next(client.events(after="123456789012"))
        assert (gap.type, gap.job, gap.output) == ("gap", None, None)


@pytest.mark.parametrize(
    ("target", "header", "paths"),
    [
        ("/v1/events?type=job.ended", "", ["query.type"]),
        ("/v1/events?after=x&type=a", "", ["query.after", "query.type"]),
        ("/v1/events?since=3", "", ["query.since"]),
        ("/v1/events", "abc", ["header.Last-Event-ID"]),
        ("/v1/jobs/5e6e5f0c1c2d4f0f9a61d2f4b7a8c9d0/events?after=-1", "", ["query.after"]),
    ],
)
def test_what_is_wrong_with_a_request_is_named(server: Shops, target: str, header: str, paths: list[str]) -> None:
    with server.stream(None, target, **({"Last_Event_ID": header} if header else {})) as refused:
        assert refused.status == 422
        assert [fault["path"] for fault in refused.body()["errors"]] == paths


def test_the_most_streams_of_a_key_and_of_all(server: Shops) -> None:
    with ExitStack() as held:
        shops = [server.shop() for _ in range(MOST // MOST_OF_ONE + 1)]
        for shop in shops[:-1]:
            for _ in range(MOST_OF_ONE):
                assert held.enter_context(server.stream(shop)).status == 200
        assert "imgserve_event_streams 100.0" in server.metrics(shops[-1])
        for shop, expected in ((shops[0], (429, "stream_quota_full")), (shops[-1], (503, "streams_full"))):
            with server.stream(shop) as refused:
                assert (refused.status, refused.body()["code"]) == expected
                assert int(refused.headers["retry-after"]) > 0
    wait_until(lambda: is_open(server, shops[0]))


def is_open(server: Shops, shop: Caller) -> bool:
    with server.stream(shop) as stream:
        return stream.status == 200


def test_a_listed_page_may_read_it(server: Shops) -> None:
    with server.stream(server.shop(), Origin=LISTED) as stream:
        assert stream.headers["access-control-allow-origin"] == LISTED
    with server.stream(server.shop(), Origin="https://evil.example") as stream:
        assert "access-control-allow-origin" not in stream.headers


@pytest.mark.parametrize("name", FRONTS)
def test_a_proxy_in_front_holds_nothing_back(server: Shops, tmp_path: Path, name: Name) -> None:
    shop = server.shop()
    port = int(server.daemon.url.rpartition(":")[2])
    with Front(name, port, tmp_path) as front:
        behind = HTTPConnection("127.0.0.1", front.port)
        with Stream(behind, headers={"Authorization": f"Bearer {shop.key}"}) as stream:
            job = posted(shop, server.job(not_before=LATER))
            assert {event.job_id for event in stream.until("job.accepted")} == {job}


def test_streams_end_when_keys_are_read_again(server: Shops) -> None:
    shop, gone = server.shop(), server.shop()
    keys = server.key_file.read_text()
    with server.stream(shop) as stays, server.stream(gone) as goes:
        server.key_file.write_text(f"shop:{shop.key}\n")
        os.kill(server.daemon.pid, signal.SIGHUP)
        assert (list(stays), list(goes)) == ([], [])
    with server.stream(gone) as refused:
        assert refused.status == 401
    server.key_file.write_text(keys)
    os.kill(server.daemon.pid, signal.SIGHUP)
    wait_until(lambda: is_open(server, gone))


def test_after_a_crash_a_client_goes_on_where_it_was(server: Shops) -> None:
    shop = server.shop()
    with server.stream(shop) as stream:
        soon = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
        job = posted(shop, server.job(not_before=soon))
        events = stream.until("job.accepted")
        server.daemon.kill()
    server.daemon.start()
    with server.stream(shop, Last_Event_ID=str(events[-1].id)) as stream:
        events += stream.until("job.succeeded")
    assert types(events) == ONE_JOB
    assert {event.job_id for event in events} == {job}


def test_streams_end_with_the_server_and_a_client_that_takes_nothing_does_not_hold_it_up(server: Shops) -> None:
    shop = server.shop()
    with server.deaf(shop), server.stream(shop) as reader, server.stream(None, "/v1/events?type=job.failed") as all_:
        for _ in range(6):
            posted(shop, server.job(50, not_before=LATER))
        assert len([next(reader) for _ in range(6 * 51)]) == 306
        assert server.daemon.stop() == 0
        assert (list(reader), list(all_)) == ([], [])
    assert "stream_stalled" in server.daemon.log
    assert "left_behind" not in server.daemon.log
