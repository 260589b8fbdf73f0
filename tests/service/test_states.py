"""A state is told in every place: the doors, the command, the metrics and the log."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.service.conftest import put_pictures
from tests.service.test_doors import get
from tests.service.test_seeing import scraped
from tests.support.daemon import Daemon, wait_until
from tests.support.operating import ask

MORE_THAN_ANY_DISK = 10**18


def told(server: Daemon) -> dict[str, object]:
    """What each place says of the state."""
    status, health = get(server.url + "/health")
    metrics = scraped(server)
    view = ask(server.data_dir, "GET", "/v1/server").body
    return {
        "http": status,
        "health": (json.loads(health)["status"], json.loads(health).get("states", [])),
        "metrics": (metrics["state", "disk_full"], metrics["storage_failing",]),
        "control": (view["status"], [state["name"] for state in view["states"]]),
    }


WELL = {"http": 200, "health": ("ok", []), "metrics": (0, 0), "control": ("ok", [])}
FULL = {
    "http": 503,
    "health": ("disk_full", ["disk_full"]),
    "metrics": (1, 1),
    "control": ("disk_full", ["disk_full"]),
}


def test_too_little_room_is_told_everywhere(tmp_path: Path) -> None:
    put_pictures(tmp_path / "in")
    (tmp_path / "out").mkdir()
    roots = ("--read-root", str(tmp_path / "in"), "--write-root", str(tmp_path / "out"))
    job = {
        "operationType": "resize", "srcURL": f"file://{tmp_path}/in/Ex.png", "dstURL": f"file://{tmp_path}/out/a.png",
        "args": {"width": 20},
    }  # fmt: skip
    with Daemon(tmp_path / "data", *roots, switches={"min_free_disk_bytes": MORE_THAN_ANY_DISK}) as server:
        wait_until(lambda: "warning state_entered state=disk_full" in server.log)  # without anybody asking
        refused = server.post(job)
        assert (refused.status, refused.body["code"]) == (503, 301)
        assert "free disk space" in str(refused.body["detail"])
        assert scraped(server)["refusals_total", "disk_full"] == 1
        assert told(server) == FULL
        state = ask(server.data_dir, "GET", "/v1/server").body["states"][0]
        assert state["severity"] == "refusing"
        assert "MB are free" in state["detail"]
        assert "free disk space" in state["hint"]
        assert server.log.count("state_entered state=disk_full") == 1
        health = get(server.url + "/health")[1]
        assert str(tmp_path) not in health, "it is open to all"
        assert get(server.url + "/health/live") == (204, ""), "a restart would not help"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_fills_and_is_emptied_is_told_everywhere(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", data], check=True, timeout=10)
    try:
        with Daemon(data, switches={"min_free_disk_bytes": 1_000_000}) as server:
            assert told(server) == WELL
            (data / "ballast").write_bytes(bytes(3_400_000))
            assert told(server) == FULL
            (data / "ballast").unlink()
            assert told(server) == WELL
            assert server.stop() == 0
            lines = [line.split(maxsplit=1)[1] for line in server.log.splitlines() if " state=disk_full" in line]
            assert [line.split(" detail=")[0] for line in lines] == [
                "warning state_entered state=disk_full",
                "warning state_left state=disk_full",
            ]
    finally:
        subprocess.run(["umount", "--lazy", data], check=True, timeout=10)
