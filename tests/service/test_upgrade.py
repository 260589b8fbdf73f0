"""The data directory of each release, as a killed server left it, goes on under the imgserve of today.

Five minutes have passed meanwhile by the server's clock, so all that waited is due.
"""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.chaos.lane import Lane
from tests.chaos.receiving import shown
from tests.support.daemon import wait_until
from tests.support.faketime import WallClock, needs_faketime
from tests.support.operating import ask
from tests.support.released import ADDRESS, DATA, KEPT, KEYS, Job, Record, place, record_of, releases, write_keys

pytestmark = needs_faketime
# The words of recordings before 0.6.0.
OLD_WORDS = {"owed": "pending", "paid": "done", "given_up": "abandoned", "overtaken": "none"}
ENDS = {"succeeded", "failed", "cancelled", "superseded"}


class Upgraded(NamedTuple):
    record: Record
    lane: Lane
    answers: dict[str, dict[str, object]]


@pytest.fixture(scope="module", params=releases())
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    record = record_of(request.param)
    clock = WallClock(tmp_path_factory.mktemp("clock") / "now")
    clock.set(datetime.fromtimestamp(record.recorded_at, UTC) + timedelta(minutes=5))
    with place() as top:
        for name in KEPT:
            source = DATA / record.version / name
            if source.is_dir():
                shutil.copytree(source, top / name)
        (top / "data").chmod(0o700)  # a version-control system keeps no such mode
        lane = Lane(top, address=ADDRESS, switches={"quiet_s": 0.5})
        lane.daemon.arguments += ("--api-key-file", str(write_keys(top)))
        lane.daemon.environment |= clock.unturned
        for job in record.jobs:
            lane.posted[job.number] = lane.place(job.kind, place_name(job.body["dstURL"]))
            lane.sources.release(job.body["srcURL"].rpartition("/")[2])
        with lane:
            answers = {job.name: _posted_again(lane, job.body, job.key) for job in record.jobs if job.is_adopted}
            wait_until(lambda: not list(open_jobs(lane)), 60, every_s=0.1)
            yield Upgraded(record, lane, answers)


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


def test_destinations_show_what_belongs_there(upgraded: Upgraded) -> None:
    def picture(number: int) -> tuple[str, int] | None:
        path = upgraded.lane.posted[number].path
        if not path.exists():
            return None
        seen = shown(path.name, path.read_bytes())
        return seen.kind, seen.job

    seen = {job.name: picture(job.number) for job in upgraded.record.jobs}
    assert seen == {job.name: job.shows for job in upgraded.record.jobs}


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
    for job in quiet:
        assert upgraded.lane.writes_to(upgraded.lane.posted[job.number]) == [], job.name


def test_a_recording_has_jobs_in_every_state() -> None:
    for version in releases():
        states = {state_of(job) for job in record_of(version).jobs}
        assert {state.partition(" ")[0] for state in states} == ENDS | {"accepting", "queued", "running"}
        assert {"failed pending", "failed done", "failed abandoned", "failed none", "cancelled pending"} <= states
        kinds = {job.kind for job in record_of(version).jobs if state_of(job) == "failed pending"}
        assert kinds == {"file", "ftp", "put", "form"}
