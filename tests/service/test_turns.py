"""Two programs with keys of their own: what one floods the server with does not keep the other's jobs waiting."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.lane import Lane, bearer
from tests.hostile.neighbours import Ends
from tests.support.daemon import wait_until
from tests.support.pictures import slow_svg

FLOOD, CALM = "the-key-of-the-flood-1", "the-key-of-the-calm-1"
FLOODS = 30
ATTEMPTS = 8


@pytest.mark.parametrize(("workers", "timeout_s", "calms", "most"), [(1, 0.5, 4, 6), (2, 1.5, 10, 5)])
def test_a_flood_of_slow_pictures_lets_others_through(
    tmp_path: Path, workers: int, timeout_s: float, calms: int, most: int
) -> None:
    """There are more of them than may be under way, and each has a worker for ``timeout_s``. Where there is one worker,
    each of the others' jobs waits for one of them; of two one is free."""
    (tmp_path / "keys").write_text(f"flood:{FLOOD}\ncalm:{CALM}\n")
    switches = {
        "api_key_file": tmp_path / "keys",
        "svg_timeout_s": timeout_s,
        "max_attempts_at_once": ATTEMPTS,
        "max_intake_waiting": 4 * FLOODS,
        "retry_delay_s": 200,  # beyond the deadline: one attempt
        "deadline_s": 100,
    }
    slow = {"slow.svg": slow_svg(20_000)}
    with (
        Lane(tmp_path / "lane", workers=workers, extra_sources=slow, switches=switches) as lane,
        ThreadPoolExecutor(FLOODS) as threads,
    ):
        lane.web.log = ends = Ends()

        def flood(number: int) -> None:
            job = lane.job(100, lane.place("put", f"flood-{number}"), "plain/slow.svg")
            job |= {"operationType": "rasterize", "args": {"width": 900, "height": 900, "method": "PUT"}}
            assert "dstURL" in lane.daemon.post(job, headers=bearer(FLOOD)).body

        list(threads.map(flood, range(FLOODS)))
        wait_until(lambda: ends.count("/flood-") >= 1)
        before = ends.count("/flood-")
        for number in range(calms):
            place = lane.place("put", f"calm-{number}")
            lane.accept(lane.job(number, place, "plain/good-1.png"), CALM)
            assert ends.of_path(f"/{place.name}").state == "final"
        waited_for = ends.count("/flood-") - before
        assert waited_for <= most, "of the flood's jobs"
        lane.daemon.kill()
