"""Jobs go on as if nothing happened while a server deletes thousands of ended ones and keeps hundreds of thousands."""

import time
from pathlib import Path

from imgserve.jobs.committer import connect
from imgserve.jobs.sqlite import FILE_NAME
from imgserve.jobs.sqlite_schema import migrate
from tests.chaos.lane import Lane
from tests.hostile.neighbours import Ends, Neighbour, compare
from tests.queues import add_ended
from tests.sizes import Figures, sized

KEPT = sized(3_000, 500_000)
PRUNED = sized(600, 20_000)
DAY_S = 24 * 3600.0


def fill(data_dir: Path) -> None:
    """Half of those that are kept have failed: they are kept two weeks, the others a day."""
    data_dir.mkdir(mode=0o700)
    db = connect(data_dir / FILE_NAME)
    migrate(db)
    now = time.time()
    for count, status, age_s in (
        (KEPT // 2, "succeeded", DAY_S / 2),
        (KEPT // 2, "failed", 7 * DAY_S),
        (PRUNED // 2, "succeeded", 2 * DAY_S),
        (PRUNED // 2, "failed", 15 * DAY_S),
    ):
        add_ended(db, count, status, now - age_s)
    db.close()


def test_a_prune_holds_nobody_up(tmp_path: Path, figures: Figures) -> None:
    """It begins with the server, so the times with it come first."""
    lane = Lane(tmp_path / "lane", workers=2)
    fill(lane.daemon.data_dir)
    with lane:
        ends = Ends()
        lane.web.log = ends
        neighbour = Neighbour(lane, ends)
        started = time.monotonic()
        beside = neighbour.call_while(lambda: " pruned " not in lane.daemon.log)
        took_s = time.monotonic() - started
        assert f" pruned jobs={PRUNED}\n" in lane.daemon.log
        alone = neighbour.call_for(took_s)
        kept = connect(lane.daemon.data_dir / FILE_NAME)
        ended = kept.execute("SELECT count(*) FROM job WHERE created_at = 1").get
        kept.close()
        assert ended == KEPT
    compare(figures, alone, beside)
    figures("seconds of the prune", round(took_s, 1))
