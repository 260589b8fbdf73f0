"""A claim is one index look-up for each principal, each set of full hosts and each job, however long the queue is."""

import time
from pathlib import Path

import pytest

from imgserve.jobs.lanes import Turns
from imgserve.jobs.protocol import HostRoom
from imgserve.jobs.sql import scheduling
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sql.scheduling import Room
from imgserve.jobs.sqlite import heads
from imgserve.jobs.sqlite.connection import Connection, connect
from imgserve.jobs.sqlite.schema import migrate
from imgserve.request.job import Priority
from tests.support.sizes import sized

LANES: dict[str, list[Priority]] = {"a": ["normal"]}
SILENT, FAST = "http://silent.test:80", "http://fast.test:80"


@pytest.fixture
def db(tmp_path: Path) -> Connection:
    connection = connect(tmp_path / "queue.sqlite")
    migrate(connection)
    heads.watch(connection)
    return connection


def plan(db: Connection, sql: str, *values: object) -> list[str]:
    return [str(row[3]) for row in rows(db, f"EXPLAIN QUERY PLAN {sql}", values)]


def test_jobs_and_heads_are_read_in_order(db: Connection) -> None:
    (step,) = plan(db, scheduling.SQL["jobs"], "a", "normal", "h", 9.0, 0.0, 0, 1)
    assert step.startswith("SEARCH job USING COVERING INDEX job_due (principal=? AND priority=? AND hosts=?")
    (step,) = plan(db, scheduling.SQL["heads"], "a", "normal", 0.0, "", 1)
    assert step.startswith("SEARCH head USING COVERING INDEX head_order (principal=? AND priority=?")


def test_only_running_jobs_are_counted(db: Connection) -> None:
    assert "SCAN job USING INDEX job_leased" in plan(db, scheduling.SQL["running_by_principal"])


def add(db: Connection, count: int, hosts: str) -> None:
    """Jobs that are due, as many as named."""
    db.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
        " INSERT INTO job (id, status, source, info, digest, epoch, created_at, deadline_at, run_at, principal,"
        " hosts) SELECT lower(hex(randomblob(8))), 'accepting', x'', x'', x'', 1, 1, 1, i / 1e6, 'a', ?2 FROM n",
        (count, hosts),
    )
    db.execute("UPDATE job SET status = 'queued' WHERE status = 'accepting'")


def claims_cost_s(db: Connection) -> float:
    """CPU time of twenty claims of four jobs, of a principal whose oldest jobs are the silent host's."""
    started = time.thread_time()
    for _ in range(20):
        room = Room(HostRoom(99, {SILENT: 0}))
        choice = scheduling.choose(db, LANES, 4, 9.0, 0, room, Turns())
        assert (len(choice.numbers), choice.heads) == (4, [(("a", "normal"), FAST)])
        left = (choice.next_at, choice.is_held_back)
        db.executemany("UPDATE job SET status = 'running' WHERE number = ?", [(number,) for number in choice.numbers])
        heads.correct(db, ("a", "normal"), FAST)
        run_at, is_held_back = scheduling.next_at(db, LANES, room)
        assert run_at is not None
        assert is_held_back
        assert left == (run_at, is_held_back)
    return time.thread_time() - started


def test_a_claim_costs_the_same_however_many_jobs_wait_for_a_full_host(db: Connection) -> None:
    costs = []
    for more in (10, sized(9_000, 90_000)):
        add(db, more, SILENT)
        add(db, 400, FAST)
        costs.append(min(claims_cost_s(db) for _ in range(3)))
    assert max(costs) < 3 * costs[0] + 0.01, costs
