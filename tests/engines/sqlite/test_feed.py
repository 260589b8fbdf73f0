"""Streams of events where others have many: a page is short work, and the next one goes on."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from imgserve.jobs.event_views import EventPage, EventQuery
from imgserve.jobs.model import EVENT_MEMORY_S
from imgserve.jobs.sql import feed
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sql.feed import CHUNK_EVENTS
from imgserve.jobs.sqlite.connection import connect
from imgserve.jobs.sqlite.schema import migrate
from imgserve.jobs.sqlite.texts import as_text
from tests.support.queues import START
from tests.support.sqlite import add_ended

JOBS = 3 * CHUNK_EVENTS


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many jobs of principal a with an event each, and the last one of b; event N happened at START + N."""
    path = tmp_path_factory.mktemp("events") / "queue.sqlite"
    db = connect(path)
    migrate(db)
    add_ended(db, JOBS, "succeeded", START)
    db.execute("UPDATE job SET principal = 'b' WHERE number = ?", (JOBS,))
    db.execute(
        "INSERT INTO event (job, at, type) SELECT number, ? + number, 'job.succeeded' FROM job ORDER BY number",
        (START,),
    )
    db.close()
    return path


@pytest.fixture
def db(path: Path) -> Iterator[apsw.Connection]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    db.create_scalar_function("as_text", lambda *row: as_text(*row), 1)
    yield db
    db.close()


def page(db: apsw.Connection, query: EventQuery, now: float = START, scan_s: float = 9.0) -> EventPage:
    return feed.page(db, query, now, float, scan_s)


def test_the_events_of_others_are_passed_over_for_a_bounded_time(db: apsw.Connection) -> None:
    first = page(db, EventQuery(0, principal="b"), scan_s=0.0)
    assert (first.events, first.last, first.newest) == ((), CHUNK_EVENTS, JOBS)
    rest = page(db, EventQuery(first.last, principal="b"))
    assert ([event.number for event in rest.events], rest.last) == ([JOBS], JOBS)


def test_a_page_costs_the_same_wherever_it_is(db: apsw.Connection) -> None:
    steps = 0

    def note() -> bool:
        nonlocal steps
        steps += 1
        return False

    db.set_progress_handler(note, 100)
    costs = []
    for query in (EventQuery(0, 20), EventQuery(JOBS // 2, 20), EventQuery(JOBS // 3, 20)):
        steps = 0
        assert len(page(db, query).events) == 20
        costs.append(steps)
    assert max(costs) < 2 * min(costs) + 100, costs


def test_those_of_a_job_are_found_by_its_number(db: apsw.Connection) -> None:
    plan = [str(row[3]) for row in rows(db, f"EXPLAIN QUERY PLAN {feed.SQL['of_job']}", (0, 9, None, "[]", 9, "x"))]
    assert plan[:2] == [
        "SEARCH job USING INDEX sqlite_autoindex_job_1 (id=?)",
        "SEARCH event USING INDEX event_of_job (job=? AND number>? AND number<?)",
    ]


@pytest.mark.parametrize("old", [0, 1, 2, CHUNK_EVENTS, JOBS - 1, JOBS])
def test_events_older_than_a_day_are_left_out(db: apsw.Connection, old: int) -> None:
    """Those that happened up to this one."""
    now = START + EVENT_MEMORY_S + old + 0.5
    found = page(db, EventQuery(0, 1), now)
    assert found.is_gap == (old > 0)
    assert [event.number for event in found.events] == ([old + 1] if old < JOBS else [])
    assert not page(db, EventQuery(old), now).is_gap


def test_pending_entries_are_counted_by_their_kind_from_an_index_alone(db: apsw.Connection) -> None:
    sql = "SELECT count(*) FROM outbox INDEXED BY outbox_due WHERE state = 'pending' AND kind = 'webhook'"
    assert [row[3] for row in rows(db, f"EXPLAIN QUERY PLAN {sql}")] == ["SCAN outbox USING COVERING INDEX outbox_due"]
