"""The queue of each release, as a killed server left it, goes on under the imgserve of today: a data directory, or the
dump of a database, of which one is made here from the imgserve of today.

Five minutes have passed meanwhile by the server's clock, so all that waited is due.
"""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest
from standardwebhooks import Webhook as Verifier

from tests.chaos.lane import Lane
from tests.chaos.receiving import shown
from tests.support.buckets import ObjectStore
from tests.support.daemon import wait_until
from tests.support.dumps import restored
from tests.support.faketime import WallClock, needs_faketime
from tests.support.hooks import Receiver, event_of
from tests.support.native import Answer, Caller
from tests.support.operating import ask
from tests.support.postgres import Postgres
from tests.support.record import recorded
from tests.support.record_native import PART
from tests.support.released import (
    ADDRESS,
    DATA,
    DUMP,
    HOOK_PORT,
    KEPT,
    KEYS,
    SECRET_FILE,
    Job,
    NativeJob,
    Record,
    place,
    record_in,
    recordings,
    released_lane,
)
from tests.support.sites import Seen

pytestmark = needs_faketime
# The words of recordings before 0.6.0.
OLD_WORDS = {"owed": "pending", "paid": "done", "given_up": "abandoned", "overtaken": "none"}
ENDS = {"succeeded", "failed", "cancelled", "superseded"}
# Releases without the native API's jobs.
CLASSIC = {"0.4.0", "0.5.0", "0.5.1", "0.6.0", "0.7.0"}


PASSED = timedelta(minutes=5)
# The recording that is made here.
TODAY = "today"


class Upgraded(NamedTuple):
    directory: Path
    record: Record
    lane: Lane
    hook: Receiver
    answers: dict[str, dict[str, object]]
    repeats: dict[str, Answer]


@pytest.fixture(scope="module", params=(*recordings(), TODAY))
def upgraded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[Upgraded]:
    directory = DATA / request.param
    if request.param == TODAY:
        directory = tmp_path_factory.mktemp("recorded") / TODAY
        recorded(directory, postgres)
    record = record_in(directory)
    clock = WallClock(tmp_path_factory.mktemp("clock") / "now")
    clock.set(datetime.fromtimestamp(record.recorded_at, UTC) + PASSED)
    with place() as top:
        _lay_out(directory, top)
        _fill_bucket(record, directory)
        lane = released_lane(top, _queue(record, directory, postgres), quiet_s=0.5)
        if lane.stored.is_file:
            lane.daemon.environment |= clock.unturned
        _expect(record, lane)
        with Receiver(host=ADDRESS.host, port=HOOK_PORT) as hook, lane:
            repeats = {job.name: _repeated(lane, directory, job) for job in record.natives if job.repeat_key}
            answers = {job.name: _posted_again(lane, job.body, job.key) for job in record.jobs if job.is_adopted}
            wait_until(lambda: not list(open_jobs(lane)), 60, every_s=0.1)
            yield Upgraded(directory, record, lane, hook, answers, repeats)


def _queue(record: Record, directory: Path, postgres: Postgres) -> str:
    """Servers follow the clock of their database, which is right. So the times of the recording are changed."""
    if not (directory / DUMP).exists():
        return ""
    return restored(postgres, directory / DUMP, time.time() - PASSED.total_seconds() - record.recorded_at)


def _lay_out(directory: Path, top: Path) -> None:
    for name in KEPT:
        source = directory / name
        if source.is_dir():
            shutil.copytree(source, top / name)
        elif source.exists():
            shutil.copy2(source, top / name)
    if (top / "data").exists():
        (top / "data").chmod(0o700)  # a version-control system keeps no such mode
        _reboot(top / "data" / "queue.sqlite")


def _reboot(queue: Path) -> None:
    """Let the recording be one of another machine, so that the wall clock tells how long ago it was made.

    The write-ahead log stays, with one transaction more.
    """
    database = apsw.Connection(str(queue))
    database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    if ("boot",) in database.execute("SELECT name FROM pragma_table_info('owner')").fetchall():
        database.execute("UPDATE owner SET boot = 'of another machine'")
    database.close()


def _fill_bucket(record: Record, directory: Path) -> None:
    """By a server of its own, so that the lane's sees what imgserve writes and no more."""
    with ObjectStore(bucket=ADDRESS.bucket) as store:
        store.clear()
        for key, headers in record.objects.items():
            store.put(key, (directory / "s3" / key).read_bytes(), **headers)


def _expect(record: Record, lane: Lane) -> None:
    for job in record.jobs:
        lane.posted[job.number] = lane.place(job.kind, place_name(job.body["dstURL"]))
        lane.sources.release(job.body["srcURL"].rpartition("/")[2])
    for native in record.natives:
        lane.posted |= {output.number: lane.place(output.kind, output.name) for output in native.outputs}
        lane.sources.release(f"good-{native.name}.png")


def _repeated(lane: Lane, directory: Path, job: NativeJob) -> Answer:
    caller = Caller(lane.daemon, KEYS["shop"])
    if not job.has_upload:
        return caller.submit(job.body, Idempotency_Key=job.repeat_key)
    return caller.upload(job.body, (PART, _uploaded(directory)), Idempotency_Key=job.repeat_key)


def _uploaded(directory: Path) -> bytes:
    [kept] = (*directory.glob("data/uploads/*"), *directory.glob(PART))
    return kept.read_bytes()


def state_of(job: Job) -> str:
    status, _, owed = job.state.partition(" ")
    return f"{status} {OLD_WORDS.get(owed, owed)}"


def place_name(url: str) -> str:
    """What the recording called the destination."""
    path = url.partition("upload.html:")[2].removesuffix(".png")
    return path or Path(url).parent.name


def _posted_again(lane: Lane, body: dict[str, Any], key: str) -> dict[str, object]:
    reply = lane.post(body, KEYS[key])
    assert reply is not None
    return {**reply.body, "id": reply.headers.get("x-imgserve-job")}


def jobs_of(lane: Lane) -> dict[str, dict[str, Any]]:
    answer = ask(lane.daemon.data_dir, "GET", "/v1/jobs?limit=200")
    return {job["id"]: job for job in answer.body["jobs"]}


def open_jobs(lane: Lane) -> Iterator[str]:
    for name, job in jobs_of(lane).items():
        if job["status"] not in ENDS or any(
            entry["state"] == "pending" for output in job["outputs"] for entry in output["outbox"]
        ):
            yield name


def test_every_job_ends_as_it_would_have(upgraded: Upgraded) -> None:
    jobs = jobs_of(upgraded.lane)
    ends = {job.name: jobs[job.id]["status"] for job in upgraded.record.jobs}
    assert ends == {job.name: job.ends for job in upgraded.record.jobs}
    natives = {job.name: _end_of(jobs[job.id]) for job in upgraded.record.natives}
    assert natives == {
        job.name: ("succeeded", [(output.name, "delivered") for output in job.outputs])
        for job in upgraded.record.natives
    }


def _end_of(shown_job: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    return shown_job["status"], [(output["name"], output["status"]) for output in shown_job["outputs"]]


def test_destinations_show_what_belongs_there(upgraded: Upgraded) -> None:
    def picture(number: int) -> tuple[str, int] | None:
        path = upgraded.lane.posted[number].path
        if not path.exists():
            return None
        seen = shown(path.name, path.read_bytes())
        return seen.kind, seen.job

    seen = {job.name: picture(job.number) for job in upgraded.record.jobs}
    assert seen == {job.name: job.shows for job in upgraded.record.jobs}
    for output in (output for job in upgraded.record.natives for output in job.outputs):
        assert picture(output.number) == ("final", output.number), output.name


def test_a_job_that_nobody_answered_is_answered_when_it_is_posted_again(upgraded: Upgraded) -> None:
    adopted = [job for job in upgraded.record.jobs if job.is_adopted]
    assert len(adopted) >= 2
    for job in adopted:
        assert upgraded.answers[job.name] == {"dstURL": job.body["dstURL"], "id": job.id}


def test_what_had_ended_keeps_its_end(upgraded: Upgraded) -> None:
    """Nothing is written anew where nothing was owed."""
    settled = ("succeeded none", "failed done", "failed none", "failed abandoned", "superseded none")
    quiet = [job for job in upgraded.record.jobs if state_of(job) in settled]
    assert len(quiet) >= 15
    settled_at = {job.number: job.name for job in quiet}
    outputs = [output for job in upgraded.record.natives for output in job.outputs]
    settled_at |= {output.number: output.name for output in outputs if output.status == "delivered"}
    for number, name in settled_at.items():
        assert upgraded.lane.writes_to(upgraded.lane.posted[number]) == [], name


def test_a_message_that_was_refused_comes_in_the_same_bytes_under_the_same_id(upgraded: Upgraded) -> None:
    """One that a webhook's job makes now comes too, and no other. All are signed with the secret of the recording."""
    record = upgraded.record
    owed = {message.id: message.body for message in record.messages}
    makers = {job.id for job in record.natives if job.body.get("webhook") and job.status == "queued"}
    wait_until(lambda: len(upgraded.hook.posts()) >= len(owed) + len(makers))
    posts = {post.headers["webhook-id"]: post for post in upgraded.hook.posts()}
    assert {key: posts[key].body.decode() for key in owed} == owed
    made = [event_of(post) for key, post in posts.items() if key not in owed]
    assert {(one["type"], one["data"]["job"]["id"]) for one in made} == {("job.succeeded", maker) for maker in makers}
    for post in posts.values():
        secret = (upgraded.directory / SECRET_FILE).read_text()
        assert _signature(secret, post) == post.headers["webhook-signature"]


def _signature(secret: str, post: Seen) -> str:
    """The server's clock is that of the recording, so ``verify`` would find the message too old."""
    at = datetime.fromtimestamp(int(post.headers["webhook-timestamp"]), UTC)
    return Verifier(secret).sign(post.headers["webhook-id"], at, post.body.decode())


def test_a_request_under_its_key_again_finds_its_job(upgraded: Upgraded) -> None:
    keyed = {job.name: job.id for job in upgraded.record.natives if job.repeat_key}
    assert {name: answer.body.get("id") for name, answer in upgraded.repeats.items()} == keyed
    for answer in upgraded.repeats.values():
        assert answer.headers["idempotent-replayed"] == "true"


def test_an_uploaded_picture_is_kept_no_longer_than_its_job_needs_it(upgraded: Upgraded) -> None:
    lane = upgraded.lane
    if lane.stored.is_file:
        wait_until(lambda: not list(lane.daemon.data_dir.glob("uploads/*")))
    else:
        wait_until(lambda: not lane.stored.select("SELECT upload FROM upload_part"))


def test_a_recording_has_jobs_in_every_state(upgraded: Upgraded) -> None:
    states = {state_of(job) for job in upgraded.record.jobs}
    assert {state.partition(" ")[0] for state in states} == ENDS | {"accepting", "queued", "running"}
    assert {"failed pending", "failed done", "failed none", "cancelled pending"} <= states
    assert ("failed abandoned" in states) == upgraded.lane.stored.is_file, "a dump has none, which take their time"
    kinds = {job.kind for job in upgraded.record.jobs if state_of(job) == "failed pending"}
    assert kinds == {"file", "ftp", "put", "form"}


def test_a_recording_has_native_jobs_that_wait(upgraded: Upgraded) -> None:
    record, directory = upgraded.record, upgraded.directory
    if record.version in CLASSIC:
        assert not record.natives
        return
    states = {job.name: (job.status, [output.status for output in job.outputs]) for job in record.natives}
    assert states == {
        "several": ("queued", ["delivered", "placeholder", "placeholder"]),
        "told": ("succeeded", ["delivered"]),
        "uploaded": ("queued", ["placeholder"]),
        "later": ("queued", ["placeholder"]),
    }
    assert [message.name for message in record.messages] == ["told", "told"]
    assert [job.name for job in record.natives if job.repeat_key] == ["uploaded", "later"]
    [later] = (job.body["not_before"] for job in record.natives if "not_before" in job.body)
    assert datetime.fromisoformat(later).timestamp() > record.recorded_at
    assert _uploaded(directory)
    assert list(record.objects) == ["several-s3/out.png"]
