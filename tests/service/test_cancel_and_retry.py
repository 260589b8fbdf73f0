"""Cancel in every state of a job, and another try for a failed one: the real server, judged by its receivers."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from examples.events import Event
from examples.receivers import Behaviour, HttpReceiver

from tests.chaos.sources import Sources
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.operating import Answer, Operator, ask
from tests.support.pictures import slow_svg


class Scene:
    """A server with one worker, sources that can be held, and a receiver."""

    def __init__(self, server: Daemon, sources: Sources, receiver: HttpReceiver) -> None:
        self.server, self.sources, self.receiver = server, sources, receiver
        self.operate = Operator(server)

    def post(self, name: str, source: str, **job: object) -> str:
        """The id of a job that is accepted; its destination is ``name``."""
        reply = self.server.post({
            "operationType": "resize", "srcURL": f"{self.sources.url}/{source}",
            "dstURL": f"{self.receiver.url}/{name}", "args": {"width": 100, "height": 75, "method": "PUT"}, **job,
        })  # fmt: skip
        assert "dstURL" in reply.body, reply
        return {name.lower(): value for name, value in reply.headers.items()}["x-imgserve-job"]

    def states(self, name: str) -> list[str]:
        return [event.state for event in self.receiver.log.of("PUT") if event.name == f"/{name}"]

    def until_state(self, name: str, state: str) -> None:
        def has_come(events: tuple[Event, ...]) -> bool:
            return any((event.name, event.state) == (f"/{name}", state) for event in events)

        assert self.receiver.log.wait_for(has_come, 20), self.states(name)

    def cancel(self, job_id: str) -> Answer:
        """Not by the command, which takes its time to start."""
        return ask(self.server.data_dir, "POST", f"/v1/jobs/{job_id}/cancel")

    def seen(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = ask(self.server.data_dir, "GET", f"/v1/jobs/{job_id}").body
        return found

    def workers(self) -> set[int]:
        return set(ask(self.server.data_dir, "GET", "/v1/server").body["workers"])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    top = tmp_path_factory.mktemp("scene")
    (top / "http").mkdir()
    server = Daemon(top / "data", *LOOPBACK, environment={"IMGSERVE_SVG_TIMEOUT_S": "60"})
    extra = {"slow.svg": slow_svg()}
    with Sources(extra) as sources, HttpReceiver(top / "http") as receiver, server:
        yield Scene(server, sources, receiver)


def test_cancel_while_it_waits_for_its_next_attempt(scene: Scene) -> None:
    job = scene.post("waits.png", "held/good-waits.png")
    scene.receiver.behave("/waits", Behaviour(status=503, times=1, headers={"Retry-After": "100"}))
    scene.sources.release("good-waits.png")
    scene.operate.until(job, "queued")
    assert scene.cancel(job).status == 200
    scene.until_state("waits.png", "failed")
    assert scene.states("waits.png") == ["placeholder", "final", "failed"]
    seen = scene.seen(job)
    assert (seen["status"], seen["outputs"][0]["error"]["code"]) == ("cancelled", "cancelled")
    wait_until(lambda: scene.seen(job)["outputs"][0]["outbox"] == [{"kind": "error_image", "state": "done"}])


def test_cancel_while_the_source_stalls(scene: Scene) -> None:
    job = scene.post("stalls.png", "held/good-stalls.png")
    scene.operate.until(job, "running")
    assert scene.cancel(job).status == 200
    scene.until_state("stalls.png", "failed")
    scene.sources.release("good-stalls.png")
    other = scene.post("after.png", "plain/good-after.png")
    scene.operate.until(other, "succeeded")
    assert scene.states("stalls.png") == ["placeholder", "failed"]
    assert scene.operate.status_of(job) == "cancelled"


def test_cancel_while_it_renders_kills_the_worker(scene: Scene) -> None:
    before = scene.workers()
    job = scene.post("slow.png", "plain/slow.svg")
    wait_until(lambda: any(is_busy(pid) for pid in before))
    assert scene.cancel(job).status == 200
    [killed] = before - scene.workers()
    wait_until(lambda: not Path(f"/proc/{killed}").exists())
    scene.until_state("slow.png", "failed")
    assert scene.seen(job)["outputs"][0]["crashes"] == 0
    wait_until(lambda: len(scene.workers()) == len(before))


def is_busy(pid: int) -> bool:
    """Whether a process has spent half a second on its processor since it became ready."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") > READY_CPU_S.setdefault(
        pid, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + 0.5
    )


READY_CPU_S: dict[int, float] = {}


def test_cancel_is_too_late_while_the_final_is_under_way(scene: Scene) -> None:
    job = scene.post("late.png", "held/good-late.png")
    scene.receiver.behave("/late", Behaviour(delay_s=2.0, times=1))
    scene.sources.release("good-late.png")
    scene.until_state("late.png", "final")
    refused = scene.cancel(job)
    assert (refused.status, refused.body["code"]) == (409, "not_cancellable")
    assert "on its way" in refused.body["detail"]
    scene.operate.until(job, "succeeded")
    assert scene.states("late.png") == ["placeholder", "final"]
    told = scene.operate("jobs", "cancel", job)
    assert (told.returncode, b"has ended already" in told.stderr) == (1, True)


def test_retry_of_a_failed_job_that_then_succeeds(scene: Scene) -> None:
    scene.receiver.behave("/again", Behaviour(status=403, times=0))
    job = scene.post("again.png", "held/good-again.png")
    scene.receiver.behave("/again", Behaviour(status=403, times=1))
    scene.sources.release("good-again.png")
    scene.until_state("again.png", "failed")
    wait_until(lambda: scene.seen(job)["outputs"][0]["outbox"] == [{"kind": "error_image", "state": "done"}])
    assert scene.operate.status_of(job) == "failed"
    told = scene.operate("jobs", "retry", job)
    assert (told.returncode, told.stdout.decode()) == (0, f"{job}  queued again\n"), told.stderr
    scene.operate.until(job, "succeeded")
    assert scene.states("again.png") == ["placeholder", "final", "failed", "final"]
    told = scene.operate("jobs", "retry", job)
    assert (told.returncode, b"only a failed one" in told.stderr) == (1, True)


def test_retry_is_refused_once_a_newer_job_has_the_destination(scene: Scene) -> None:
    old = scene.post("taken.png", "plain/broken-taken.png")
    scene.operate.until(old, "failed")
    newer = scene.post("taken.png", "plain/good-taken.png")
    scene.operate.until(newer, "succeeded")
    answer = ask(scene.server.data_dir, "POST", f"/v1/jobs/{old}/retry")
    assert (answer.status, answer.body["code"]) == (409, "not_retryable")
    assert scene.states("taken.png")[-1] == "final"


def test_retry_and_cancel_by_filter(scene: Scene) -> None:
    jobs = [scene.post(f"many-{i}.png", f"plain/broken-{i}.png", placeholder="none") for i in range(3)]
    other = scene.post("one.png", "plain/broken-one.png", placeholder="none")
    for job in (*jobs, other):
        scene.operate.until(job, "failed")
    unasked = scene.operate("jobs", "retry", "--destination", "/many-")
    assert (unasked.returncode, b"retry 3 jobs" in unasked.stderr) == (2, True)
    young = scene.operate("jobs", "retry", "--destination", "/many-", "--older-than", "1h", "--yes")
    assert (young.returncode, young.stdout) == (0, b"")
    told = scene.operate("jobs", "retry", "--destination", "/many-", "--older-than", "0s", "--yes", "--json")
    assert told.returncode == 0, told.stderr
    assert {json.loads(line)["id"] for line in told.stdout.splitlines()} == set(jobs)
    for job in jobs:
        scene.operate.until(job, "failed")
    assert scene.seen(other)["outputs"][0]["attempts"] == 1
    held = [scene.post(f"held-{i}.png", f"held/good-held-{i}.png") for i in range(2)]
    told = scene.operate("jobs", "cancel", "--all", "--yes")
    assert told.returncode == 0, told.stderr
    assert sorted(told.stdout.decode().split()) == sorted([*held, "cancelled", "cancelled"])
