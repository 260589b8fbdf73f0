"""Lists of many ended jobs: an index gives each page, and a search for a destination holds up no other read."""

import time
from pathlib import Path

import apsw
import msgspec
import pytest

from imgserve.jobs.sql.listing import Listing
from imgserve.jobs.sql.search import CHUNK_JOBS, SEARCH_S, Found, find
from imgserve.jobs.sqlite.connection import connect
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.jobs.sqlite.schema import migrate
from imgserve.jobs.sqlite.snapshots import FileSnapshots
from imgserve.jobs.views import JobQuery
from tests.support.queues import START
from tests.support.sqlite import add_ended

JOBS = 30_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many jobs of principal a, ten of b among them; number N was made at N."""
    path = tmp_path_factory.mktemp("many") / FILE_NAME
    db = connect(path)
    migrate(db)
    for status in ("succeeded", "failed"):
        add_ended(db, JOBS // 2, status, START)
    db.execute("UPDATE job SET created_at = number")
    db.execute("UPDATE job SET principal = 'b' WHERE number % ? = 1", (JOBS // 10,))
    db.close()
    return path


def steps_of(path: Path, query: JobQuery, search_s: float = SEARCH_S) -> tuple[Found, int]:
    """The page, and how many hundreds of SQLite's own steps it took: the same on a busy machine as on an idle one."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    steps = 0

    def note() -> bool:
        nonlocal steps
        steps += 1
        return False

    db.set_progress_handler(note, 100)
    found = find(db, query, 0.0, search_s)
    db.close()
    return found, steps


@pytest.mark.parametrize("principal", [None, "a", "b"])
@pytest.mark.parametrize(
    "query",
    [
        JobQuery(("failed",)),
        JobQuery(("succeeded",)),
        JobQuery(("queued", "failed", "succeeded")),
        JobQuery(),
        JobQuery(created_before=JOBS / 4),
        JobQuery(("succeeded",), created_after=JOBS / 4, created_before=JOBS / 3),
        JobQuery(("succeeded", "failed"), created_after=JOBS - 3),
        JobQuery(("failed",), after=JOBS // 2 + 1000),
    ],
)
def test_a_page_costs_the_same_wherever_it_is(path: Path, query: JobQuery, principal: str | None) -> None:
    query = msgspec.structs.replace(query, principal=principal, limit=10)
    found, steps = steps_of(path, query)
    wanted = [
        number
        for number in range(JOBS, 0, -1)
        if (principal or "ba"[number % (JOBS // 10) != 1]) == "ba"[number % (JOBS // 10) != 1]
        and (not query.statuses or ("succeeded" if number <= JOBS // 2 else "failed") in query.statuses)
        and (query.created_before or JOBS + 1) > number >= (query.created_after or 0)
        and number < (query.after or JOBS + 1)
    ]
    assert found == Found(wanted[:10], wanted[9] if len(wanted) > 10 else None)
    assert steps < 100, "more than 10,000 steps for 30,000 jobs"


async def test_a_search_ends_after_a_bounded_time_and_goes_on_with_the_next_page(path: Path) -> None:
    listing = Listing(FileSnapshots(path))
    pages, after, longest_s, numbers = 0, None, 0.0, []
    while pages == 0 or after is not None:
        started = time.process_time()
        page = await listing.page(JobQuery(destination="/1", destination_prefix="http://place.test:80/17", after=after))
        longest_s = max(longest_s, time.process_time() - started)
        numbers += [job.number for job in page.jobs]
        after, pages = page.next, pages + 1
    assert sorted(numbers) == [number for number in range(1, JOBS + 1) if str(number).startswith("17")]
    assert longest_s < 10 * SEARCH_S
    found, _ = steps_of(path, JobQuery(destination="nowhere"), search_s=0.0)
    assert found == Found([], JOBS - CHUNK_JOBS + 1)
    await listing.aclose()
