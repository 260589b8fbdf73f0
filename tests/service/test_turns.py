"""Two programs with keys of their own: what one floods the server with does not keep the other's jobs waiting."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.lane import Lane, bearer
from tests.hostile.neighbours import Ends
from tests.support.daemon import wait_until
from tests.support.operating import ask
from tests.support.pictures import slow_svg

FLOOD, CALM = "the-key-of-the-flood-1", "the-key-of-the-calm-1"
ATTEMPTS = 8


@pytest.mark.parametrize(
    ("workers", "timeout_s", "floods", "begins_at", "calms", "most"),
    [(1, 0.2, 12, 13, 4, 6), (2, 1.5, 30, 1, 10, 5)],
    ids=["one worker and retries", "two workers"],
)
def test_a_flood_of_slow_pictures_lets_others_through(
    tmp_path: Path, workers: int, timeout_s: float, floods: int, begins_at: int, calms: int, most: int
) -> None:
    """There are more of them than may be under way, and each attempt has a worker for ``timeout_s``. Where there is one
    worker, each of the others' jobs waits for one attempt; of two one is free. The others begin behind ``begins_at``
    attempts of the flood, of which some may be second ones."""
    (tmp_path / "keys").write_text(f"flood:{FLOOD}\ncalm:{CALM}\n")
    switches = {
        "api_key_file": tmp_path / "keys",
        "svg_timeout_s": timeout_s,
        "max_attempts_at_once": ATTEMPTS,
        "max_intake_waiting": 4 * floods,
        "deadline_s": 100,
    }
    slow = {"slow.svg": slow_svg(20_000)}
    with (
        Lane(tmp_path / "lane", workers=workers, extra_sources=slow, switches=switches) as lane,
        ThreadPoolExecutor(floods) as threads,
    ):
        lane.web.log = ends = Ends()

        def flood(number: int) -> None:
            job = lane.job(100, lane.place("put", f"flood-{number}"), "plain/slow.svg")
            job |= {"operationType": "rasterize", "args": {"width": 900, "height": 900, "method": "PUT"}}
            assert "dstURL" in lane.daemon.post(job, headers=bearer(FLOOD)).body

        def attempts() -> int:
            """Of the flood."""
            page = ask(lane.daemon.data_dir, "GET", f"/v1/jobs?destination_contains=/flood-&limit={floods}").body
            return sum(job["outputs"][0]["attempts"] for job in page["jobs"])

        list(threads.map(flood, range(floods)))
        wait_until(lambda: attempts() >= begins_at)
        for number in range(calms):
            place = lane.place("put", f"calm-{number}")
            lane.accept(lane.job(number, place, "plain/good-1.png"), CALM)
            assert ends.of_path(f"/{place.name}").state == "final"
        wait_until(lambda: len(waits_in(lane.daemon.log)) == calms)  # it is written a moment later
        assert sum(waits_in(lane.daemon.log)) <= most, "attempts of the flood"
        lane.daemon.kill()


def waits_in(log: str) -> list[int]:
    """For each calm job, the attempts of the flood that ended between its acceptance and the end of its render. What
    goes on until the next job is posted is the test's own time."""
    jobs = re.findall(r" accepted (job=\w+) .*principal=calm", log)
    waited = (re.findall(rf" accepted {job} (.*) render {job} ", log, re.DOTALL) for job in jobs)
    return [found[0].count(" render job=") for found in waited if found]
