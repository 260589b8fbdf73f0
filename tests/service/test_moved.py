"""An operator moves the data directory, or removes a file in it, under a server that runs."""

import json
import urllib.error
import urllib.request
from pathlib import Path

from imgserve.jobs.sqlite.queue import FILE_NAME
from tests.service.conftest import put_pictures
from tests.support.daemon import LOOPBACK, Daemon, wait_until


def health(server: Daemon) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{server.url}/health", timeout=10) as answer:
            return answer.status, json.load(answer)["status"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["status"]


def test_no_job_is_accepted_until_it_is_back(tmp_path: Path) -> None:
    put_pictures(tmp_path / "read")
    (tmp_path / "write").mkdir()
    roots = ("--read-root", str(tmp_path / "read"), "--write-root", str(tmp_path / "write"))
    job = {
        "operationType": "resize",
        "srcURL": f"file://{tmp_path}/read/Ex.png",
        "dstURL": f"file://{tmp_path}/write/good.png",
        "args": {"width": 20, "height": 15},
    }
    with Daemon(tmp_path / "data", *LOOPBACK, *roots) as server:
        assert "dstURL" in server.post(job).body
        wait_until(lambda: "settled" in server.log)
        for count, name in enumerate(("", FILE_NAME), 1):
            place = tmp_path / "data" / name
            away = place.with_name(f"{place.name}.away")
            place.rename(away)
            refused = server.post(job)
            assert (refused.status, refused.body["code"]) == (503, 301)
            assert "under the server" in str(refused.body["detail"])
            assert health(server) == (503, "storage_failing")
            wait_until(lambda count=count: told(server, "entered") == count)  # type: ignore[misc]
            away.rename(place)
            assert "dstURL" in server.post(job).body
            wait_until(lambda: health(server) == (200, "ok"), every_s=0.1)
            wait_until(lambda count=count: told(server, "left") == count)  # type: ignore[misc]
        assert "Traceback" not in server.log
        assert server.stop() == 0


def told(server: Daemon, change: str) -> int:
    """How often the log says so."""
    return server.log.count(f"state_{change} state=storage_failing")
