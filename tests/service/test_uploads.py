"""Jobs that bring their picture: as parts of forms and as ``data:`` URLs, against the real server."""

import base64
import http.client
import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from imgserve.engine.uploads import TIDY_EVERY_S
from tests.chaos.sources import Sources
from tests.chaos.stored import Stored
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.native import Caller
from tests.support.ondemand import FORM, form, opened
from tests.support.pictures import encoded, scene
from tests.support.postgres_house import NewQueue
from tests.support.sizes import sized

POINTS = sized(("upload_written", "intake_enqueued"), ("upload_written", "intake_enqueued", "intake_released"))
PHOTO = encoded(scene(200, 150), "jpeg")
OTHER = encoded(scene(120, 90), "png")
BROKEN = b"no picture at all"
QUOTA_BYTES = 6 * len(PHOTO)
LIMITS = {
    "quiet_s": 0.2, "repeat_after_s": 0.2, "retry_delay_s": 0.05, "max_source_bytes": 2 * len(PHOTO),
    "upload_quota_bytes": QUOTA_BYTES, "low_speed_time_s": 1, "low_speed_bytes_s": 1000, "max_uploads": 4,
}  # fmt: skip


class Shop(NamedTuple):
    """A server with keys for several principals, and a folder that it may write to."""

    server: Daemon
    out: Path
    sources: Sources
    shop: Caller
    other: Caller
    queue: str

    def job(self, name: str = "a", part: str = "photo.jpg", **fields: object) -> dict[str, Any]:
        sizes = ({"name": each, "operations": [{"operation": "resize", "width": width}],
                  "destination": f"file://{self.out}/{name}-{{$width}}.png"}
                 for each, width in (("small", 20), ("large", 100)))  # fmt: skip
        return {"source": {"upload": part}, "outputs": list(sizes), **fields}

    @property
    def kept(self) -> list[Path]:
        """The files of pictures; of those in a database the names."""
        if not self.queue:
            return sorted((self.server.data_dir / "uploads").glob("*"))
        with Stored(self.server.data_dir, self.queue) as stored:
            return [Path(upload) for (upload,) in stored.select("SELECT DISTINCT upload FROM upload_part")]

    def is_tidy(self) -> bool:
        return not self.kept

    def later(self, name: str = "later") -> dict[str, Any]:
        """A job whose picture is kept until its time comes."""
        soon = datetime.now(UTC) + timedelta(hours=1)
        return self.job(name, not_before=soon.isoformat())

    def hopeless(self) -> dict[str, Any]:
        """A job that is accepted, and fails."""
        output = {"destination": f"file://{self.out}/hopeless.jpg", "encode": {"format": "jpeg", "max_bytes": 300}}
        return {"source": {"upload": "photo.jpg"}, "outputs": [output]}


@contextmanager
def serving(top: Path, queue: str = "", **switches: object) -> Iterator[Shop]:
    (top / "out").mkdir()
    (top / "keys").write_text("shop:the-key-of-the-shop-1\nother:the-key-of-the-other-1\n")
    roots = ("--write-root", str(top / "out"), "--api-key-file", str(top / "keys"))
    server = Daemon(top / "data", *LOOPBACK, *roots, switches={"queue": queue or "sqlite"} | LIMITS | switches)
    with Sources({"photo.jpg": PHOTO}) as sources, server:
        yield Shop(
            server, top / "out", sources, Caller(server, "the-key-of-the-shop-1"),
            Caller(server, "the-key-of-the-other-1"), queue,
        )  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with serving(tmp_path_factory.mktemp("uploads")) as running:
        yield running


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, new_queue: NewQueue) -> Iterator[Shop]:
    """A server that its tests end. A failpoint's name is in a file beside it."""
    top = tmp_path_factory.mktemp("mortal")
    with serving(top, new_queue(), failpoint_file=str(top / "failpoint"), low_speed_time_s=60) as running:
        yield running


@pytest.fixture
def alone(mortal: Shop) -> Shop:
    if not mortal.server.is_running:
        mortal.server.start()
    return mortal


def test_one_picture_of_a_form_for_two_outputs(shared: Shop) -> None:
    answer = shared.shop.upload(shared.job("two"), ("photo.jpg", PHOTO), Prefer="wait=30")
    assert answer.status == 200, answer
    job = answer.body
    assert job["status"] == "succeeded"
    assert job["source"] == {
        "url": None, "format": "jpeg", "width": 200, "height": 150, "frames": 1, "size_bytes": len(PHOTO),
    }  # fmt: skip
    for width, height in ((20, 15), (100, 75)):
        with Image.open(shared.out / f"two-{width}.png") as picture:
            assert picture.size == (width, height)
    wait_until(shared.is_tidy)


def test_the_result_is_that_of_the_same_picture_by_url(shared: Shop) -> None:
    uploaded = shared.shop.upload(shared.job("by-form"), ("photo.jpg", PHOTO), Prefer="wait=30").body
    fetched = shared.shop.submit(
        {**shared.job("by-url"), "source": f"{shared.sources.url}/plain/photo.jpg"}, Prefer="wait=30"
    ).body
    assert [each["sha256"] for each in uploaded["outputs"]] == [each["sha256"] for each in fetched["outputs"]]


@pytest.mark.parametrize("is_form", [False, True])
def test_a_data_url(shared: Shop, *, is_form: bool) -> None:
    url = f"data:image/jpeg;base64,{base64.b64encode(PHOTO).decode()}"
    job = {**shared.job(f"data-{is_form}"), "source": url}
    send = shared.shop.upload if is_form else shared.shop.submit
    answer = send(job, Prefer="wait=30")
    assert (answer.status, answer.body["status"], answer.body["source"]["url"]) == (200, "succeeded", None)
    assert url[30:60] not in json.dumps(answer.body)
    assert url[30:60] not in shared.server.log


def test_tags_go_by_the_name_of_the_part(shared: Shop) -> None:
    place = f"file://{shared.out}/{{$basename}}-tagged.{{$source_ext}}"
    job = {"source": {"upload": "my shoe.v2.jpg"}, "outputs": [{"destination": place}]}
    assert shared.shop.upload(job, ("my shoe.v2.jpg", PHOTO), Prefer="wait=30").body["status"] == "succeeded"
    assert (shared.out / "my shoe.v2-tagged.jpg").exists()


@pytest.mark.parametrize("part", ["../../../etc/passwd", "/etc/shadow", "a\\..\\b", "%2e%2e%2fx"])
def test_the_name_of_a_part_is_no_path(shared: Shop, part: str) -> None:
    """Only a tag can bring it into a destination, where it cannot leave its directory."""
    answer = shared.shop.upload(shared.job("odd", part=part), (part, PHOTO), Prefer="wait=30")
    assert answer.body["status"] == "succeeded", answer
    tagged = {"source": {"upload": part}, "outputs": [{"destination": f"file://{shared.out}/{{$basename}}.png"}]}
    if "/" in part:
        assert shared.shop.upload(tagged, (part, PHOTO)).faults == [("outputs[0].destination", "destination_invalid")]


@pytest.mark.parametrize("url", ["upload:0123456789abcdef0123456789abcdef", "UPLOAD://x/y"])
def test_no_request_can_name_a_stored_upload(shared: Shop, url: str) -> None:
    for source in (url, {"url": url}):
        assert shared.shop.submit({**shared.job(), "source": source}).status == 422


FAULTS = [
    ((("other", OTHER),), 'expected the part "photo.jpg" right behind the part job, got "other"'),
    ((), 'expected the part "photo.jpg" behind the part job, got none'),
    ((("photo.jpg", PHOTO), ("second", OTHER)), 'a part came that the job does not name, "second"'),
]


@pytest.mark.parametrize(("parts", "told"), FAULTS)
def test_parts_and_names_that_do_not_match(shared: Shop, parts: tuple[tuple[str, bytes], ...], told: str) -> None:
    answer = shared.shop.upload(shared.job(), *parts)
    assert (answer.status, answer.faults) == (422, [("source.upload", "source_invalid")])
    assert told in answer.body["errors"][0]["detail"]


def test_a_part_that_no_job_names(shared: Shop) -> None:
    job = {**shared.job(), "source": f"{shared.sources.url}/plain/photo.jpg"}
    assert shared.shop.upload(job, ("photo.jpg", PHOTO)).faults == [("source.upload", "source_invalid")]


def test_an_upload_needs_a_form(shared: Shop) -> None:
    assert shared.shop.submit(shared.job()).faults == [("source.upload", "source_invalid")]


def test_the_job_comes_first(shared: Shop) -> None:
    body = form(("photo.jpg", PHOTO), ("job", json.dumps(shared.job()).encode()))
    answer = shared.shop.raw(body, **FORM)
    assert (answer.status, answer.body["code"]) == (400, "job_part_not_first")


HEAD = '--a-boundary\r\nContent-Disposition: form-data; name="job"\r\n\r\n'
PICTURE = '\r\n--a-boundary\r\nContent-Disposition: form-data; name="photo.jpg"; filename="x"\r\n\r\n'


def begun(shop: Shop, job: object, picture: bytes = b"", *, key: str = "", length: int = 9000) -> socket.socket:
    """A connection with a form whose picture has only begun."""
    head = {**FORM, "Content-Length": str(length), "Authorization": f"Bearer {key or shop.shop.key}"}
    sent = (HEAD + json.dumps(job) + PICTURE).encode() + picture
    return opened(shop.server, head, "/v1/jobs", sent)


def refusal_on(connection: socket.socket) -> tuple[int, str]:
    """Status and code of the answer."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read())["code"]


@pytest.mark.parametrize(
    ("change", "key", "refusal"),
    [
        ({"priority": "urgent"}, "", (422, "request_invalid")),
        ({"outputs": [{"destination": "file:///etc/a.png"}]}, "", (422, "request_invalid")),
        ({"outputs": [{"destination": "http://192.0.2.1:25/a.png"}]}, "", (422, "request_invalid")),
        ({}, "no-such-key-at-all-01", (401, "not_authorised")),
    ],
)
def test_key_and_faults_are_judged_before_the_picture_comes(
    shared: Shop, change: dict[str, Any], key: str, refusal: tuple[int, str]
) -> None:
    before = set(shared.kept)
    with begun(shared, {**shared.job(), **change}, key=key) as connection:
        assert refusal_on(connection) == refusal
    assert set(shared.kept) <= before


def test_a_part_that_is_too_long(shared: Shop) -> None:
    answer = shared.shop.upload(shared.job(), ("photo.jpg", bytes(2 * len(PHOTO) + 1)))
    assert (answer.status, answer.body["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("data", [BROKEN, b"", PHOTO[:200]])
def test_of_a_refused_picture_nothing_stays(shared: Shop, data: bytes) -> None:
    before = set(shared.kept)
    answer = shared.shop.upload(shared.job(), ("photo.jpg", data))
    assert answer.status == 422, answer
    assert set(shared.kept) <= before


def test_a_dry_run_keeps_nothing(shared: Shop) -> None:
    before = set(shared.kept)
    answer = shared.shop.upload(shared.job("dry"), ("photo.jpg", PHOTO), target="/v1/jobs?dry_run=true")
    assert (answer.status, answer.body["id"], answer.body["source"]["width"]) == (200, None, 200)
    assert set(shared.kept) <= before
    assert not list(shared.out.glob("dry*"))


def test_the_file_is_the_servers_alone_and_goes_when_the_job_is_cancelled(shared: Shop) -> None:
    before = set(shared.kept)
    job = shared.shop.upload(shared.later(), ("photo.jpg", PHOTO)).body
    [file] = set(shared.kept) - before
    assert (file.read_bytes(), file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (PHOTO, 0o600, 0o700)
    assert file.name not in json.dumps(shared.shop.job(job["id"]))
    assert shared.shop("POST", f"/v1/jobs/{job['id']}/cancel").status == 200
    wait_until(lambda: not file.exists())


def test_the_quota_counts_what_is_kept_and_is_judged_before_the_picture_comes(shared: Shop) -> None:
    length = len(PHOTO)
    ids = [shared.shop.upload(shared.later(f"q{n}"), ("photo.jpg", PHOTO)).body["id"] for n in range(5)]
    with begun(shared, shared.later("q5"), length=2 * length) as connection:
        assert refusal_on(connection) == (429, "upload_quota_full")
    theirs = shared.other.upload(shared.job("theirs"), ("photo.jpg", PHOTO), Prefer="wait=30")
    assert theirs.body["status"] == "succeeded"
    for job_id in ids:
        shared.shop("POST", f"/v1/jobs/{job_id}/cancel")
    # What is needed no more is deleted before an upload is refused.
    assert shared.shop.upload(shared.job("q6"), ("photo.jpg", PHOTO)).status == 202


def test_one_key_in_parallel_makes_one_job(shared: Shop) -> None:
    many = sized(12, 100)
    shop = Caller(shared.server, shared.shop.key)

    def send(number: int) -> Any:
        while (answer := shop.upload(shared.job("once"), ("photo.jpg", PHOTO), Idempotency_Key="k-1")).status in (
            429, 503,
        ):  # fmt: skip
            time.sleep(0.02 * number)
        return answer

    with ThreadPoolExecutor(many) as threads:
        answers = list(threads.map(send, range(many)))
    assert {answer.status for answer in answers} <= {200, 202}
    assert len({answer.body["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    another = shop.upload(shared.job("once"), ("photo.jpg", OTHER), Idempotency_Key="k-1")
    assert (another.status, another.body["code"]) == (422, "idempotency_key_reused")


def test_a_slow_upload_ends_by_its_limit_and_holds_up_no_other(shared: Shop) -> None:
    before = set(shared.kept)
    with ExitStack() as held:
        slow = [held.enter_context(begun(shared, shared.job("slow"), PHOTO[:50])) for _ in range(2)]
        wait_until(lambda: len(set(shared.kept) - before) == 2)
        begun_files = set(shared.kept) - before
        # Half of all slots is the quota of one key.
        assert shared.shop.upload(shared.job("more"), ("photo.jpg", PHOTO)).body["code"] == "upload_quota_full"
        theirs = shared.other.upload(shared.job("fast"), ("photo.jpg", PHOTO), Prefer="wait=30")
        assert theirs.body["status"] == "succeeded"
        for connection in slow:
            assert refusal_on(connection) == (408, "body_too_slow")
    wait_until(lambda: begun_files.isdisjoint(shared.kept))


def test_a_client_that_hangs_up_leaves_nothing(shared: Shop) -> None:
    before = set(shared.kept)
    with begun(shared, shared.job("gone"), PHOTO[:500]):
        wait_until(lambda: bool(set(shared.kept) - before))
        [file] = set(shared.kept) - before
    wait_until(lambda: not file.exists())


def test_a_failed_job_keeps_its_picture_for_a_retry_until_it_is_lost(shared: Shop) -> None:
    before = set(shared.kept)
    job_id = shared.shop.upload(shared.hopeless(), ("photo.jpg", PHOTO)).body["id"]
    [file] = set(shared.kept) - before
    for retries, code in enumerate(["max_bytes_unreachable", "max_bytes_unreachable", "source_lost"]):
        job = shared.shop.ended(job_id)
        assert (job["status"], job["retries"]) == ("failed", retries)
        assert job["outputs"][0]["error"]["code"] == code
        if retries == 1:
            time.sleep(1.5 * TIDY_EVERY_S)
            file.unlink()
        assert shared.shop("POST", f"/v1/jobs/{job_id}/retry").status == 200
    shared.shop.ended(job_id)


def upload_bytes(shop: Shop) -> float:
    """As the metrics have it."""
    request = urllib.request.Request(shop.server.url + "/metrics", headers={"Authorization": f"Bearer {shop.shop.key}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        [figure] = re.findall(r"^imgserve_upload_bytes (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(figure)


def test_a_crash_loses_no_picture_of_a_stored_job_and_keeps_no_other(alone: Shop) -> None:
    def send(name: str) -> Any:
        # Without a key the very same request finds its unanswered job.
        key = {} if name == "intake_enqueued" else {"Idempotency_Key": name}
        return alone.shop.upload(alone.job(name), ("photo.jpg", PHOTO), **key)

    point = alone.server.data_dir.parent / "failpoint"
    for number, name in enumerate(POINTS):
        before = set(alone.kept)
        point.write_text(name)
        with pytest.raises(OSError, match=r".*"):
            send(name)
        assert alone.server.wait() == 137
        assert len(set(alone.kept) - before) == 1
        point.unlink()
        alone.server.start()
        stored = alone.shop.page()["jobs"]
        assert len(stored) == number + (name != "upload_written")
        if name == "upload_written":
            wait_until(alone.is_tidy)
        again = send(name)
        assert again.status in (200, 202), again
        if name != "upload_written":
            assert again.body["id"] == stored[0]["id"]
        assert alone.shop.ended(again.body["id"])["status"] == "succeeded"
    wait_until(alone.is_tidy)
    assert len(alone.shop.page()["jobs"]) == len(POINTS)


def test_a_server_that_stops_waits_for_no_upload(alone: Shop) -> None:
    with begun(alone, alone.job("late"), PHOTO[:500]) as connection:
        wait_until(lambda: upload_bytes(alone) == min(9000, 2 * len(PHOTO)))
        if not alone.queue:  # a database gets larger parts
            wait_until(lambda: len(alone.kept) == 1)
        stopping = time.monotonic()
        assert alone.server.stop() == 0
        assert time.monotonic() - stopping < 5
        assert refusal_on(connection) == (503, "draining")
    assert alone.kept == []
