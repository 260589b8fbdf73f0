"""What a claim asks stays one look into an index for each caller, however long the queue is."""

from pathlib import Path

import apsw
import pytest

from imgserve.jobs import sqlite_backlog, sqlite_turns
from imgserve.jobs.committer import rows
from imgserve.jobs.sqlite_schema import migrate

OF_ONE = "SEARCH job USING COVERING INDEX job_due (caller=?"


@pytest.fixture
def db(tmp_path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(tmp_path / "queue.sqlite"))
    migrate(connection)
    sqlite_backlog.watch(connection)
    return connection


def plan(db: apsw.Connection, sql: str, *values: object) -> list[str]:
    return [str(row[3]) for row in rows(db, f"EXPLAIN QUERY PLAN {sql}", values)]


def test_a_callers_due_jobs_are_read_in_order(db: apsw.Connection) -> None:
    for sql in (sqlite_turns.OF_ONE, sqlite_turns.OF_EACH):
        assert plan(db, sql, "a", 0.0, 1) == [f"{OF_ONE} AND run_at<?)"]


def test_the_next_time_is_one_look_for_each_caller(db: apsw.Connection) -> None:
    steps = plan(db, sqlite_turns.NEXT_AT)
    assert f"{OF_ONE})" in steps
    assert not any(step.startswith("SCAN job") or "TEMP B-TREE" in step for step in steps)


def test_only_running_jobs_are_counted(db: apsw.Connection) -> None:
    assert "SCAN job USING INDEX job_leased" in plan(db, sqlite_turns.UNDER_WAY)
