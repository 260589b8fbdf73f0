"""Jobs go on as if nothing happened while a server deletes thousands of ended ones and keeps hundreds of thousands."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from imgserve.jobs.sqlite.connection import connect
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.jobs.sqlite.schema import migrate
from tests.chaos.lane import Lane
from tests.hostile.neighbours import Ends, Neighbour, Times, compare
from tests.support.sizes import Figures, sized
from tests.support.sqlite import add_ended

KEPT = sized(3_000, 500_000)
PRUNED = sized(600, 20_000)
ROUNDS = sized(1, 8)
DAY_S = 24 * 3600.0


def fill(data_dir: Path, pruned: int) -> None:
    """Half of those that are kept have failed: they are kept two weeks, the others a day."""
    data_dir.mkdir(mode=0o700)
    db = connect(data_dir / FILE_NAME)
    migrate(db)
    now = time.time()
    for count, status, age_s in (
        (KEPT // 2, "succeeded", DAY_S / 2),
        (KEPT // 2, "failed", 7 * DAY_S),
        (pruned // 2, "succeeded", 2 * DAY_S),
        (pruned // 2, "failed", 15 * DAY_S),
    ):
        add_ended(db, count, status, now - age_s)
    db.close()


@contextmanager
def serving(root: Path, pruned: int) -> Iterator[tuple[Lane, Neighbour]]:
    lane, ends = Lane(root, workers=2), Ends()
    fill(lane.daemon.data_dir, pruned)
    with lane:
        lane.web.log = ends
        yield lane, Neighbour(lane, ends)


def is_pruning(lane: Lane) -> bool:
    return " pruned " not in lane.daemon.log


def test_a_prune_holds_nobody_up(tmp_path: Path, figures: Figures) -> None:
    """It begins with the server, so the times without it are those of another server that has just begun."""
    alone: list[Times] = []
    beside: list[Times] = []
    took: list[float] = []
    for turn in range(ROUNDS):
        with serving(tmp_path / f"{turn}", PRUNED) as (lane, neighbour):
            started = time.monotonic()
            beside += neighbour.call_while(partial(is_pruning, lane))
            took.append(time.monotonic() - started)
            assert f" pruned jobs={PRUNED}\n" in lane.daemon.log
            kept = connect(lane.daemon.data_dir / FILE_NAME)
            ended = kept.execute("SELECT count(*) FROM job WHERE created_at = 1").get
            kept.close()
            assert ended == KEPT
        with serving(tmp_path / f"{turn}-alone", 0) as (_, neighbour):
            alone += neighbour.call_for(took[-1])
    compare(figures, alone, beside)
    figures("seconds of a prune", round(statistics.mean(took), 1))
