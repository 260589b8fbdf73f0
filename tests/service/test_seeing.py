"""What an operator sees: /metrics of a real server and its log, before, during and after trouble."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from docs.generate import described
from examples.receivers import Behaviour, HttpReceiver
from prometheus_client.parser import text_string_to_metric_families

from tests.service.conftest import put_pictures
from tests.service.test_daemon import VERSION
from tests.service.test_doors import get
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.processes import workers

KEY = "a-key-of-some-length-01"
SECRET = "s3cr3t"
Seen = dict[tuple[str, ...], float]


def scraped(server: Daemon) -> Seen:
    """Every sample by its name and label values, buckets left out."""
    status, text = get(server.url + "/metrics")
    assert status == 200
    return {
        (sample.name.removeprefix("imgserve_"), *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def until_seen(server: Daemon, holds: Callable[[Seen], bool]) -> Seen:
    last: list[Seen] = []

    def happened() -> bool:
        last[:] = [scraped(server)]
        return holds(last[0])

    wait_until(happened)
    return last[0]


def put(web: HttpReceiver, name: str, source: str = "Ex.png", **more: object) -> dict[str, object]:
    login = web.url.replace("//", f"//user:{SECRET}@")
    args = {"width": 40, "height": 30, "method": "PUT"}
    return {"operationType": "resize", "srcURL": f"{login}/{source}", "dstURL": f"{login}/{name}", "args": args, **more}


@pytest.fixture
def web(tmp_path: Path) -> HttpReceiver:
    put_pictures(tmp_path / "http")
    whole = (tmp_path / "http" / "photo.jpg").read_bytes()
    (tmp_path / "http" / "cut.jpg").write_bytes(whole[: len(whole) // 2])  # its header is good
    return HttpReceiver(tmp_path / "http")


def test_metrics_tell_what_became_of_each_job(tmp_path: Path, web: HttpReceiver) -> None:
    with web, Daemon(tmp_path / "data", *LOOPBACK, "--log-format", "json") as server:
        fresh = scraped(server)
        assert fresh["jobs_ended_total", "", "succeeded"] == 0
        assert fresh["build_info", sys.version.split()[0], VERSION] == 1
        assert fresh["workers", "render", "idle"] == 1
        assert fresh["workers", "spare", "idle"] == 2
        assert server.post(put(web, "a.png")).status == 200
        assert server.post(put(web, "b.png", "cut.jpg")).status == 200
        assert server.post(put(web, "c.png", "nowhere.png")).body["code"] == 201
        assert server.post(b"no JSON").body == {"msg": "request parse error"}
        seen = until_seen(server, lambda seen: ("jobs_ended_total", "source_unreadable", "failed") in seen)
        seen = until_seen(server, lambda seen: seen["jobs", "running"] + seen["jobs", "queued"] == 0)
        assert seen["jobs_ended_total", "", "succeeded"] == seen["jobs_ended_total", "source_unreadable", "failed"] == 1
        assert seen["posts_total", "", "accepted"] == 2
        assert seen["posts_total", "201", "refused"] == seen["posts_total", "parse_error", "refused"] == 1
        assert seen["stage_failures_total", "source_not_found", "probe"] == 1
        assert seen["stage_failures_total", "source_unreadable", "render"] == 1
        assert seen["stage_seconds_count", "fetch"] == 2
        assert seen["placeholder_seconds_count",] == 2
        assert seen["result_seconds_count",] == 1
        assert 0 < seen["result_seconds_sum",] < 30
        assert seen["worker_ends_total", "fault"] == 1
        assert seen["process_resident_memory_bytes",] > 10_000_000 < seen["workers_resident_bytes",]
        assert seen["source_memory_limit_bytes",] == 256_000_000
        assert seen["storage_failing",] == 0
        assert server.stop() == 0
        lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
        of_first = [line["action"] for line in lines if line.get("job") == lines[1].get("job")]
        assert of_first == [
            "probe", "deliver_placeholder", "accepted", "fetch", "render", "deliver_final", "settled",
        ]  # fmt: skip
        assert all(line["ms"] >= 0 for line in lines if line["action"] in ("probe", "render", "deliver_final"))
        assert {"refused", "settled"} < {line["action"] for line in lines if line.get("code")}
        assert SECRET not in server.log


def test_a_failed_try_shows(tmp_path: Path, web: HttpReceiver) -> None:
    web.behave("/left.png", Behaviour(times=1, kinds=("PUT",)))
    web.behave("/left", Behaviour(status=503, kinds=("PUT",)))
    with web, Daemon(tmp_path / "data", *LOOPBACK) as server:
        assert server.post(put(web, "left.png", "cut.jpg")).status == 200
        seen = until_seen(server, lambda seen: ("stage_failures_total", "delivery_failed", "deliver_failed") in seen)
        assert seen["placeholders_left", "pending"] == 1
        assert seen["jobs_ended_total", "source_unreadable", "failed"] == 1
        assert seen["stage_failures_total", "delivery_failed", "outbox"] == 1


def test_what_waits_shows(tmp_path: Path, web: HttpReceiver) -> None:
    web.behave("/slow.png", Behaviour(times=1, kinds=("PUT",)))
    web.behave("/slow", Behaviour(never=True, kinds=("PUT",)))
    with web, Daemon(tmp_path / "data", *LOOPBACK) as server:
        assert server.post(put(web, "slow.png")).status == 200
        seen = until_seen(server, lambda seen: seen["transfers", "running"] == 1)
        assert seen["jobs", "running"] == 1
        assert seen["queue_oldest_seconds",] > 0
        assert seen["queue_delay_seconds",] == 0


def test_a_killed_worker_is_counted_and_logged(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data") as server:
        worker = workers(server.pid)[0]
        os.kill(worker, signal.SIGKILL)
        until_seen(server, lambda seen: seen["worker_ends_total", "died"] == 1)
        wait_until(lambda: f"worker_ended pid={worker} cause=died" in server.log)


def test_metrics_need_a_key_where_there_are_keys(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    with Daemon(tmp_path / "data", "--api-key-file", str(keys)) as server:
        assert get(server.url + "/metrics")[0] == 401
        status, text = get(server.url + "/metrics", {"Authorization": f"Bearer {KEY}"})
        assert (status, "imgserve_jobs" in text, KEY in text) == (200, True, False)
        assert 'imgserve_posts_total{code="302",result="refused"} 1.0' in text


def test_metrics_are_for_this_machine_without_keys(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data") as server:
        assert get(server.url + "/metrics", {"X-Forwarded-For": "127.0.0.1"})[0] == 401
        assert get(server.url + "/metrics", {"Host": "evil.example"})[0] == 401


def test_debug_tells_more_and_warning_less(tmp_path: Path, web: HttpReceiver) -> None:
    with web:
        for level, told, untold in (("debug", "intake", "nothing"), ("warning", "listening", "workers_started")):
            with Daemon(tmp_path / level, *LOOPBACK, "--log-level", level) as server:
                assert server.post(put(web, f"{level}.png")).status == 200
                assert server.stop() == 0
                assert told in server.log
                assert untold not in server.log


def test_every_metric_is_told_by_its_server(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data") as server:
        text = get(server.url + "/metrics")[1]
    for declared in described():
        assert f"# TYPE {declared.name} {declared.type}\n" in text


def test_a_log_that_nobody_reads_stops_no_server(tmp_path: Path, web: HttpReceiver) -> None:
    """Its stderr is a full pipe: jobs go on, and it ends all the same."""
    command = [sys.executable, "-m", "imgserve", "start", "--foreground", "--host", "127.0.0.1", "--port", "0"]
    command += ["--data-dir", str(tmp_path / "data"), "--workers", "1", *LOOPBACK]
    with web, subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        server = Daemon(tmp_path / "unused")
        for line in process.stderr:
            if b"listening on" in line:
                server.url = line.split()[-1].decode()
                break
        writer = os.open(f"/proc/{process.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
        filled = 0
        try:
            while True:
                filled += os.write(writer, b"x" * 4096)
        except BlockingIOError:
            os.close(writer)
        assert filled > 0
        for number in range(20):
            assert server.post(put(web, f"{number}.png"), timeout_s=20).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
