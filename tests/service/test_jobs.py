"""Jobs of the native API, as the developer of a shop uses them: with a key, against real servers."""

import json
import os
import re
import select
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from examples.receivers import Behaviour, HttpReceiver
from PIL import Image

from imgserve.api.v1 import cursor
from imgserve.api.v1.cursor import Cursor
from imgserve.api.v1.waits import MOST
from tests.chaos.sources import Sources
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.native import Answer, Caller, sha256
from tests.support.operating import ask
from tests.support.pictures import encoded, scene

TIMES = {"quiet_s": 0.2, "repeat_after_s": 0.2, "retry_delay_s": 0.05}
PRINCIPALS = 60
PHOTO = encoded(scene(200, 150), "jpeg")


class Shared(NamedTuple):
    """A server that the tests share, with keys for two principals a test, and its peers."""

    top: Path
    sources: Sources
    web: HttpReceiver
    server: Daemon
    numbers: Iterator[int]


class Place:
    """A test's own principals, names and places on a server."""

    def __init__(self, shared: Shared) -> None:
        number = next(shared.numbers)
        self.name = f"shop-{number}"
        self.out = shared.top / f"out/{number}"
        self.out.mkdir()
        self.web = shared.web
        self.put_path = f"/{number}/thumb.png"
        (shared.top / f"web/{number}").mkdir()
        self.sources = shared.sources
        self.held = f"held/good-{number}.png"
        self.server = shared.server
        self.shop, self.other = (Caller(shared.server, key_of(each)) for each in (number, number + PRINCIPALS))

    def release(self) -> None:
        self.sources.release(self.held.partition("/")[2])

    def job(self, name: str = "a", source: str = "plain/photo.jpg", **fields: object) -> dict[str, Any]:
        destination = f"file://{self.out}/{name}.png"
        recipe = {"operations": [{"operation": "resize", "width": 20}], "destination": destination}
        return {"source": f"{self.sources.url}/{source}", "outputs": [recipe], **fields}

    def three(self, source: str = "plain/photo.jpg") -> dict[str, Any]:
        resize = {"operation": "resize", "width": 60, "height": 40}
        return {
            "source": {"url": f"{self.sources.url}/{source}"},
            "outputs": [
                {"name": "card", "operations": [resize], "encode": {"format": "webp"},
                 "destination": f"file://{self.out}/{{$basename}}-card.{{$ext}}"},
                {"name": "large", "operations": [{"operation": "resize", "width": 120}],
                 "destination": f"file://{self.out}/{{$basename}}-{{$width}}x{{$height}}.{{$source_ext}}"},
                {"name": "thumb", "operations": [{"operation": "resize", "width": 16, "height": 16}],
                 "destination": {"url": f"{self.web.url}{self.put_path}?token=s3cret"}, "placeholder": "solid"},
            ],
            "metadata": {"product": "4711"},
        }  # fmt: skip

    @property
    def thumb(self) -> Path:
        return self.web.directory / self.put_path.lstrip("/")


def key_of(number: int) -> str:
    return f"the-key-of-the-shop-{number:03}"


@contextmanager
def serving(top: Path, **switches: object) -> Iterator[Shared]:
    for name in ("out", "web"):
        (top / name).mkdir()
    keys = (f"shop-{number}:{key_of(number)}\n" for number in range(2 * PRINCIPALS))
    (top / "keys").write_text("".join(keys))
    roots = ("--write-root", str(top / "out"), "--api-key-file", str(top / "keys"))
    server = Daemon(top / "data", *LOOPBACK, *roots, switches=TIMES | switches)
    with Sources({"photo.jpg": PHOTO, "words.gif": b"no picture"}) as sources, HttpReceiver(top / "web") as web, server:
        yield Shared(top, sources, web, server, iter(range(PRINCIPALS)))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with serving(tmp_path_factory.mktemp("jobs")) as running:
        yield running


@pytest.fixture
def place(shared: Shared) -> Place:
    return Place(shared)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Place]:
    """On a server of its own, which the test may stop."""
    with serving(tmp_path) as running:
        yield Place(running)


def test_three_sizes_of_one_picture_in_one_job(place: Place) -> None:
    answer = place.shop.submit(place.three(), Prefer="wait=30")
    assert answer.status == 200, answer
    job = answer.body
    assert answer.headers["preference-applied"] == "wait=30"
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["status"], job["protocol"], job["metadata"]) == ("succeeded", "v1", {"product": "4711"})
    assert job["source"]["format"] == "jpeg"
    assert (job["source"]["width"], job["source"]["height"]) == (200, 150)
    assert job["source"]["size_bytes"] == len(PHOTO)
    seen = {each["name"]: each for each in job["outputs"]}
    files = {
        "card": place.out / "photo-card.webp", "large": place.out / "photo-120x90.jpg",
        "thumb": place.thumb,
    }  # fmt: skip
    for name, size in {"card": (60, 40), "large": (120, 90), "thumb": (16, 16)}.items():
        data = files[name].read_bytes()
        with Image.open(files[name]) as picture:
            assert picture.size == size
        output = seen[name]
        assert (output["status"], output["width"], output["height"]) == ("delivered", *size)
        assert (output["size_bytes"], output["sha256"]) == (len(data), sha256(data))
        assert output["delivered_at"] is not None
    assert seen["card"]["destination"] == f"file://{files['card']}"
    assert seen["card"]["url"] is None
    assert seen["thumb"]["url"] == f"{place.web.url}{place.put_path}"
    assert "s3cret" not in json.dumps(job)
    assert "timeline" not in job
    timeline = place.shop.job(job["id"])["timeline"]
    assert len([event for event in timeline if event["event"] == "output.delivered"]) == 3


def test_without_a_wait_the_answer_comes_once_the_placeholders_are_out(place: Place) -> None:
    answer = place.shop.submit(place.job(source=place.held))
    assert (answer.status, "preference-applied" in answer.headers) == (202, False)
    assert answer.body["status"] in ("queued", "running")
    assert answer.body["outputs"][0]["placeholder"] == "written"
    assert (place.out / "a.png").exists()
    assert place.shop("GET", answer.headers["location"], Prefer="wait=1").body["ended_at"] is None
    place.release()
    assert place.shop.ended(answer.body["id"])["status"] == "succeeded"


def test_the_answer_shows_the_job_as_a_read_does(place: Place) -> None:
    now = datetime.now(UTC)
    later = (now + timedelta(hours=1)).isoformat()
    signature = f"X-Amz-Date={now:%Y%m%dT%H%M%SZ}&X-Amz-Expires=5400&X-Amz-Signature=0"
    presigned = f"{place.web.url}{place.put_path}-b.png?{signature}"
    job = place.three() | {"not_before": later, "deadline_s": 5000, "priority": "high"}
    job["outputs"].append({**job["outputs"][2], "name": "signed", "destination": presigned})
    job["outputs"].append({**job["outputs"][0], "name": "bare", "placeholder": "none", "encode": {"format": "png"}})
    answer = place.shop.submit(job)
    assert answer.status == 202, answer
    read = place.shop.job(answer.body["id"])
    assert [event["event"] for event in read.pop("timeline")] == ["output.placeholder"] * 4 + ["job.accepted"]
    assert answer.body == read
    assert [warning["code"] for warning in read["warnings"]] == ["destination_expires"]
    seen = ask(place.server.data_dir, "POST", "/v1/jobs", json.dumps(job | {"priority": "low"}).encode()).body
    read = ask(place.server.data_dir, "GET", f"/v1/jobs/{seen['id']}").body
    assert {"timeline": read["timeline"], **seen} == read


def test_the_answer_shows_what_another_job_has_changed(place: Place) -> None:
    """A job without a placeholder takes over that of the older job at its destination."""
    first = place.shop.submit(place.job(source=place.held))
    bare = place.job(source=place.held)
    bare["outputs"][0]["placeholder"] = "none"
    assert place.shop.submit(bare).body["outputs"][0]["placeholder"] == "written"
    place.release()
    assert place.shop.ended(first.body["id"])["status"] == "superseded"


def test_a_wait_that_runs_out(place: Place) -> None:
    answer = place.shop.submit(place.job(source=place.held), Prefer="respond-async, wait=1")
    assert (answer.status, answer.headers["preference-applied"]) == (202, "wait=1")
    assert answer.body["ended_at"] is None


def test_an_answer_that_is_held_back_holds_no_slot_of_intake(alone: Place) -> None:
    alone.server.stop()
    alone.server.switches["max_intake"] = 1
    alone.server.start()
    with ThreadPoolExecutor(3) as threads:
        held = [threads.submit(alone.shop.submit, alone.job(name, alone.held), Prefer="wait=60") for name in "abc"]
        wait_until(lambda: len(alone.shop.page()["jobs"]) == 3)
        assert alone.shop.submit(alone.job("d"), Prefer="wait=30").body["status"] == "succeeded"
        assert not any(answer.done() for answer in held)
        alone.release()
        assert {answer.result().status for answer in held} == {200}


def test_so_many_answers_are_held_back_and_no_more(alone: Place) -> None:
    """A principal of several may have half of them; the others keep theirs."""
    job_id = alone.shop.submit(alone.job(source=alone.held)).body["id"]
    most, more = MOST // 2, 5
    request = f"GET /v1/jobs/{job_id} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {alone.shop.key}\r\n"
    address = ("127.0.0.1", int(alone.server.url.rpartition(":")[2]))
    with ExitStack() as opened:
        waiting = [opened.enter_context(socket.create_connection(address, timeout=30)) for _ in range(most + more)]
        for client in waiting:
            client.sendall(f"{request}Prefer: wait=60\r\nConnection: close\r\n\r\n".encode())
        wait_until(lambda: len(readable(waiting)) == more)
        for client in readable(waiting):
            assert b"preference-applied" not in until_closed(client)
            waiting.remove(client)
        other = alone.other.submit(alone.job("b", alone.held), Prefer="wait=1")
        assert (other.status, other.headers["preference-applied"]) == (202, "wait=1")
        assert readable(waiting) == []
        alone.release()
        answers = [until_closed(client) for client in waiting]
    assert all(b"preference-applied: wait=60" in answer and b'"succeeded"' in answer for answer in answers)


def readable(clients: list[socket.socket]) -> list[socket.socket]:
    return select.select(clients, [], [], 0)[0]


def until_closed(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65_536), b""))


def test_a_stopping_server_answers_those_who_wait(alone: Place) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(alone.shop.submit, alone.job(source=alone.held), Prefer="wait=60")
        wait_until(lambda: alone.shop.page()["jobs"] and alone.shop.page()["jobs"][0]["status"] == "running")
        os.kill(alone.server.pid, signal.SIGTERM)
        answer = waiting.result(timeout=10)
        assert (answer.status, answer.body["status"]) == (202, "running")
        assert "preference-applied" in answer.headers
        alone.release()
        assert alone.server.wait() == 0


def test_a_client_that_hangs_up_changes_nothing(place: Place) -> None:
    body = json.dumps(place.job(source=place.held)).encode()
    host, port = place.server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(
            f"POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {place.shop.key}\r\nPrefer: wait=60\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        wait_until(lambda: place.shop.page()["jobs"])
    place.release()
    (job,) = place.shop.page()["jobs"]
    assert place.shop.ended(job["id"])["status"] == "succeeded"


def test_the_same_request_again_is_the_same_job(place: Place) -> None:
    first = place.shop.submit(place.job(source=place.held), Idempotency_Key="order-1")
    assert (first.status, "idempotent-replayed" in first.headers) == (202, False)
    again = place.shop.submit(place.job(source=place.held), Idempotency_Key="order-1")
    assert (again.status, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.headers["location"] == first.headers["location"]
    place.release()
    waited = place.shop.submit(place.job(source=place.held), Idempotency_Key="order-1", Prefer="wait=30")
    assert (waited.status, waited.body["status"]) == (200, "succeeded")
    late = place.shop.submit(place.job(source=place.held), Idempotency_Key="order-1")
    assert (late.status, late.body["id"]) == (200, first.body["id"])
    another = place.shop.submit(place.job("b"), Idempotency_Key="order-1")
    assert (another.status, another.body["code"]) == (422, "idempotency_key_reused")
    assert place.other.submit(place.job("c"), Idempotency_Key="order-1").status == 202, "keys are each principal's own"
    assert [job["id"] for job in place.shop.page(idempotency_key="order-1")["jobs"]] == [first.body["id"]]
    assert not (place.out / "b.png").exists()


def test_a_refused_job_binds_no_key(place: Place) -> None:
    absent = place.shop.submit(place.job(source="plain/words.gif"), Idempotency_Key="order-2")
    assert absent.status == 422, absent
    assert place.shop.submit(place.job(), Idempotency_Key="order-2").status == 202


def test_a_hundred_at_once_are_one_job(place: Place) -> None:
    def post(_: int) -> Answer:
        return place.shop.submit(place.job(), Idempotency_Key="order-3")

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(post, range(100)))
    assert {answer.status for answer in answers} <= {200, 202}
    assert len({answer.body["id"] for answer in answers}) == 1
    assert len([answer for answer in answers if "idempotent-replayed" not in answer.headers]) == 1
    assert len(place.shop.page()["jobs"]) == 1


@pytest.mark.parametrize("failpoint", ["intake_enqueued", "intake_released", "intake_answered"])
def test_a_repeat_after_a_kill_between_store_and_reply(alone: Place, failpoint: str) -> None:
    alone.server.stop()
    alone.server.switches["failpoint"] = failpoint
    alone.server.start()
    if failpoint == "intake_answered":
        alone.shop.submit(alone.job(), Idempotency_Key="order-4")
    else:
        with pytest.raises(ConnectionError):
            alone.shop.submit(alone.job(), Idempotency_Key="order-4")
    assert alone.server.wait() == 137
    del alone.server.switches["failpoint"]
    alone.server.start()
    repeated = alone.shop.submit(alone.job(), Idempotency_Key="order-4", Prefer="wait=30")
    assert (repeated.status, repeated.headers["idempotent-replayed"]) == (200, "true")
    assert repeated.body["status"] == "succeeded"
    assert len(alone.shop.page()["jobs"]) == 1


def test_another_principals_job_does_not_exist(place: Place) -> None:
    job_id = place.shop.submit(place.job(source=place.held)).body["id"]
    never = place.other("GET", f"/v1/jobs/{'0' * 32}")
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
        answer = place.other(method, f"/v1/jobs/{job_id}{path}")
        assert (answer.status, answer.body["code"]) == (404, "no_such_job")
        assert answer.body["detail"].replace(job_id, "ID") == never.body["detail"].replace("0" * 32, "ID")
    assert place.other("GET", f"/v1/jobs/{job_id[:20]}").status == 404
    assert place.shop("GET", f"/v1/jobs/{job_id[:20]}").status == 404, "an id is no prefix"
    assert place.other.page() == {"jobs": [], "next": None}
    seen = place.shop.job(job_id)
    assert {"number", "principal"}.isdisjoint(seen)
    operators = ask(place.server.data_dir, "GET", f"/v1/jobs/{job_id}").body
    assert operators["principal"] == place.name
    listed = ask(
        place.server.data_dir, "GET", f"/v1/jobs?principal={place.name}&destination_contains={place.out}/a"
    ).body["jobs"]
    assert [job["id"] for job in listed] == [job_id]


def test_jobs_are_listed_page_by_page(place: Place) -> None:
    ids = [place.shop.ended(place.shop.submit(place.job(str(index))).body["id"])["id"] for index in range(5)]
    classic = {
        "operationType": "resize", "srcURL": f"{place.sources.url}/plain/photo.jpg", "args": {"width": 8},
        "dstURL": f"file://{place.out}/classic.jpg",
    }  # fmt: skip
    reply = place.server.post(classic, headers={"Authorization": f"Bearer {place.shop.key}"})
    ids.append(reply.headers["x-imgserve-job"])
    seen: list[str] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        page = place.shop.page(limit=2, **({"cursor": page["next"]} if page["next"] else {}))
        seen += [job["id"] for job in page["jobs"]]
        assert all("timeline" not in job for job in page["jobs"])
    assert seen == ids[::-1]
    made_at = datetime.fromisoformat(place.shop.job(ids[2])["created_at"])
    after = (made_at + timedelta(milliseconds=2)).isoformat()
    listed = place.shop.page(destination=f"file://{place.out}/2", status="succeeded,failed")["jobs"]
    assert [job["id"] for job in listed] == [ids[2]]
    assert place.shop.page(destination=f"{place.out}/2")["jobs"] == [], "it begins so"
    assert [job["id"] for job in place.shop.page(created_after=made_at.isoformat())["jobs"]] == ids[:1:-1], "itself too"
    assert [job["id"] for job in place.shop.page(created_before=after)["jobs"]] == ids[2::-1]
    assert [job["id"] for job in place.shop.page(created_before=made_at.isoformat())["jobs"]] == ids[1::-1]
    assert {place.shop.job(ids[2])["created_at"] for _ in range(20)} == {place.shop.page()["jobs"][3]["created_at"]}
    assert place.shop.page(status="cancelled")["jobs"] == []


def test_another_principals_job_in_a_cursor_is_as_none(place: Place) -> None:
    others = place.other.submit(place.job("o")).body["id"]
    job = place.shop.submit(place.job()).body
    later = datetime.fromisoformat(job["created_at"]).timestamp() + 1.0
    for job_id in ("0" * 32, others):
        listed = place.shop.page(cursor=cursor.dump(Cursor(job_id, later)))["jobs"]
        assert [each["id"] for each in listed] == [job["id"]]
    assert place.shop.page(cursor=cursor.dump(Cursor(job["id"], later)))["jobs"] == []


def test_cancel_and_retry(place: Place) -> None:
    job = place.shop.submit(place.three(place.held)).body
    cancelled = place.shop("POST", f"/v1/jobs/{job['id']}/cancel")
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    assert {output["status"] for output in cancelled.body["outputs"]} == {"cancelled"}
    again = place.shop("POST", f"/v1/jobs/{job['id']}/cancel")
    assert (again.status, again.body["status"]) == (200, "cancelled")
    refused = place.shop("POST", f"/v1/jobs/{job['id']}/retry")
    assert (refused.status, refused.body["code"]) == (409, "not_retryable")


def test_one_failed_output_is_retried_alone(place: Place) -> None:
    job = place.three(place.held)
    job["outputs"][2]["on_failure"] = "keep_placeholder"
    accepted = place.shop.submit(job).body
    place.web.behave(place.put_path, Behaviour(status=403))
    place.release()
    failed = place.shop.ended(accepted["id"])
    assert [output["status"] for output in failed["outputs"]] == ["delivered", "delivered", "failed"]
    assert failed["outputs"][2]["error"]["code"] == "delivery_failed"
    assert not failed["outputs"][2]["error"]["retryable"]
    assert failed["status"] == "failed"
    place.web.behave(place.put_path, Behaviour())
    path = f"/v1/jobs/{failed['id']}/retry"
    wrong = place.shop("POST", path, {"outputs": ["card"]})
    assert (wrong.status, wrong.body["code"]) == (409, "not_retryable")
    assert place.shop("POST", path, {"outputs": []}).faults == [("outputs", "field_invalid")]
    assert place.shop("POST", path, {"output": ["thumb"]}).faults == [("output", "field_unknown")]
    assert place.shop("POST", path, {"outputs": ["thumb"]}).status == 200
    done = place.shop.ended(failed["id"])
    assert (done["status"], done["retries"]) == ("succeeded", 1)
    assert [output["attempts"] for output in done["outputs"]] == [1, 1, 1], "since the retry"
    assert (place.thumb).exists()


def test_a_dry_run_does_nothing(place: Place) -> None:
    answer = place.shop("POST", "/v1/jobs?dry_run=true", place.three(), Idempotency_Key="order-5")
    assert (answer.status, answer.body["id"]) == (200, None)
    shown = [(each["name"], each["width"], each["height"], each["format"]) for each in answer.body["outputs"]]
    assert shown == [("card", 60, 40, "webp"), ("large", 120, 90, "jpeg"), ("thumb", 16, 16, "png")]
    assert answer.body["outputs"][1]["destination"] == f"file://{place.out}/photo-120x90.jpg"
    assert not place.thumb.exists()
    assert list(place.out.iterdir()) == []
    assert place.shop.page()["jobs"] == []
    assert answer.body["source"]["size_bytes"] == len(PHOTO)
    faulty = place.shop("POST", "/v1/jobs?dry_run=true", place.job(source="plain/words.gif"))
    assert (faulty.status, faulty.body["code"]) == (422, "source_unreadable")


def test_a_dry_run_has_the_faults_of_a_key(place: Place) -> None:
    job = place.job()
    assert place.shop.submit(job, Idempotency_Key="order-6").status == 202

    def preview(**fields: object) -> Answer:
        return place.shop("POST", "/v1/jobs?dry_run=true", {**job, **fields}, Idempotency_Key="order-6")

    again = preview()
    assert (again.status, again.body["id"]) == (200, None)
    another = preview(priority="low")
    assert (another.status, another.body["code"]) == (422, "idempotency_key_reused")
    assert len(place.shop.page()["jobs"]) == 1


@pytest.mark.parametrize(
    ("source", "output", "code"),
    [
        ("plain/words.gif", {}, "source_unreadable"),
        ("none.png", {}, "source_unavailable"),
        ("plain/photo.jpg", {"load": {"page": 8}}, "page_missing"),
    ],
)
def test_a_source_at_fault_has_its_entry(place: Place, source: str, output: dict[str, Any], code: str) -> None:
    job = place.job(source=source)
    url = job["source"]
    job["outputs"][0].update(output)
    refused = place.shop.submit(job)
    assert (refused.status, refused.body["code"], refused.faults) == (422, code, [("source", code)])
    recipe = {name: value for name, value in job["outputs"][0].items() if name != "destination"}
    rendered = place.shop("POST", "/v1/render", {"source": url, **recipe})
    assert (rendered.body["code"], rendered.faults) == (code, [("source", code)])
    if not output:
        assert place.shop("GET", f"/v1/info?url={url}").faults == [("query.url", code)]
        assert place.shop("POST", "/v1/info", {"source": url}).faults == [("source", code)]


@pytest.mark.parametrize(
    ("operation", "code", "field"),
    [
        ({"operation": "rasterize", "width": 4}, "not_svg", ".operation"),
        ({"operation": "crop", "left": 900, "width": 4}, "nothing_left", ""),
        ({"operation": "resize", "width": 900, "if_small": "refuse"}, "source_too_small", ""),
    ],
)
def test_an_operation_at_fault_has_its_entry(place: Place, operation: dict[str, Any], code: str, field: str) -> None:
    recipe = {"operations": [*([{"operation": "flip"}] if not field else []), operation]}
    path = f"operations[{len(recipe['operations']) - 1}]{field}"
    job = place.job()
    job["outputs"][0].update(recipe)
    refused = place.shop.submit(job)
    assert (refused.status, refused.body["code"], refused.faults) == (422, code, [(f"outputs[0].{path}", code)])
    rendered = place.shop("POST", "/v1/render", {"source": job["source"], **recipe})
    assert (rendered.body["code"], rendered.faults) == (code, [(path, code)])


def test_all_faults_at_once_with_their_paths(place: Place) -> None:
    job = place.job(outputs=[{"operations": [{"operation": "resize", "widht": 3}], "destination": "ftp:/x"}, {}])
    answer = place.shop("POST", "/v1/jobs", job, Prefer="wait=3")
    assert answer.status == 422
    assert ("outputs[0].operations[0].widht", "field_unknown") in answer.faults
    assert ("outputs[1].destination", "field_missing") in answer.faults
    asked = place.shop("POST", "/v1/jobs?dry_run=1&wait=3", job, Idempotency_Key="a b")
    assert {path for path, _ in asked.faults} == {"query.wait", "header.Idempotency-Key"}
    seen = ask(place.server.data_dir, "GET", "/v1/refusals?limit=1").body["refusals"][0]
    assert (seen["code"], seen["principal"]) == ("request_invalid", place.name)


def test_a_refused_destination_refuses_the_job(place: Place) -> None:
    place.web.behave(place.put_path, Behaviour(status=403))
    answer = place.shop.submit(place.three())
    assert (answer.status, answer.faults) == (422, [("outputs[2].destination", "delivery_failed")])
    wait_until(lambda: list(place.out.iterdir()) == [])


def test_a_classic_job_is_told_where_it_belongs(place: Place) -> None:
    classic = {"operationType": "resize", "srcURL": "http://a.example/b.png", "dstURL": "file:///c.png", "args": {}}
    answer = ask(place.server.data_dir, "POST", "/v1/jobs", json.dumps(classic).encode())
    assert (answer.status, answer.body["code"]) == (422, "classic_job")
    assert "is posted to /" in answer.body["detail"]
    uploaded = place.shop.upload(classic)
    assert (uploaded.status, uploaded.body["code"]) == (422, "classic_job")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/jobs/none", "no_such_job"),
        ("POST", "/v1/jobs/none/cancel", "no_such_job"),
        ("GET", "/v1/jobs?limit=0", "request_invalid"),
        ("GET", "/v1/nothing", "no_such_page"),
        ("PUT", "/v1/jobs", "method_not_allowed"),
        ("GET", "/v1/info?url=none", "request_invalid"),
    ],
)
def test_the_id_of_a_refused_request_is_in_the_log(place: Place, method: str, path: str, code: str) -> None:
    reply = place.shop(method, path)
    assert reply.body["code"] == code
    wait_until(lambda: f"refused request={reply.body['request_id']} code={code}\n" in place.server.log)


def test_the_id_of_a_request_is_in_the_log_of_what_it_did(place: Place) -> None:
    job = place.shop.submit(place.three(place.held)).body
    request = place.shop("POST", f"/v1/jobs/{job['id']}/cancel").headers["x-request-id"]
    wait_until(lambda: f"cancelled job={job['id']} request={request}" in place.server.log)
    first, again = (place.shop.submit(place.job(), Idempotency_Key="order-7") for _ in range(2))
    line = rf" adopted job=\w+ request={again.headers['x-request-id']} as_job={first.body['id']}\n"
    wait_until(lambda: re.search(line, place.server.log))
    facts = place.shop("GET", f"/v1/info?url={place.sources.url}/plain/photo.jpg").headers["x-request-id"]
    wait_until(lambda: re.search(rf" on_demand request={facts} ms=", place.server.log))
