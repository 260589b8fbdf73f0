"""How PostgreSQL carries the queue's statements out: none may read more, the more jobs there are."""

import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import psycopg

from imgserve.jobs.postgres.connection import LOCKS
from imgserve.jobs.postgres.dialect import translated
from imgserve.jobs.sql.queries import load
from tests.support.postgres import Postgres
from tests.support.postgres_house import PostgresHouse

FILL = (
    """INSERT INTO job (id, status, source, info, digest, is_answered, is_activated, epoch, created_at, deadline_at,
        run_at, ended_at, lease_until, principal, hosts, protocol, priority, node)
        SELECT md5(i::text), status, '', '', sha256(i::text::bytea), 1, 1, 1, i, 1e12, i,
        CASE WHEN status IN ('failed', 'succeeded') THEN i END, 1e9, 'p' || i % 5, 'h' || i % 50, 'classic', 'normal', 1
        FROM (SELECT i, CASE WHEN i % 200 = 0 THEN 'running' WHEN i % 200 = 1 THEN 'accepting' WHEN i % 5 = 2
            THEN 'failed' WHEN i % 5 = 3 THEN 'succeeded' ELSE 'queued' END AS status
            FROM generate_series(1, 5000) AS i) AS jobs""",
    """INSERT INTO output (job, spec, destination, is_form, status, placeholder)
        SELECT number, '', hosts || '/' || number / 2, 0, 'placeholder', 'written' FROM job""",
    "INSERT INTO event (number, job, at, type) SELECT number, number, created_at, 'job.accepted' FROM job",
    """INSERT INTO outbox (job, output, kind, due_at, until, state)
        SELECT job, id, 'error_image', 1, 1e12, CASE WHEN id % 20 = 2 THEN 'pending' ELSE 'done' END
        FROM output WHERE job % 5 = 2""",
    """INSERT INTO destination (key, holder, token, kind, epoch)
        SELECT DISTINCT ON (destination) destination, id, 0, 'final', 1 FROM output WHERE job % 200 = 0""",
    "INSERT INTO idempotency SELECT 'key' || number, principal, '', id, 1 FROM job",
    "INSERT INTO placeholder SELECT sha256(i::text::bytea), i % 100, i FROM generate_series(1, 5000) AS i",
    """INSERT INTO upload (id, job, principal, size_bytes, sha256, created_at)
        SELECT 'u' || number, number, principal, 5, '', 1 FROM job WHERE number % 2 = 0""",
    "INSERT INTO webhook_try (entry, at, error, duration_ms) SELECT id, 1, '', 1 FROM outbox",
    "ANALYZE",
)
# As many rows as nodes or lanes, or one; and the indexes of what nodes have under way or still owe.
SMALL_TABLES = {"owner", "node", "backlog", "stray", "event_number", "pg_database"}
SMALL_INDEXES = {
    "node_pkey", "job_accepting", "job_leased", "job_unanswered", "destination_held", "destination_of_node",
    "outbox_due", "outbox_abandoned", "event_unnumbered",
}  # fmt: skip
# Sums, and what happens when no node was alive; a statement with LIMIT 1 reads one row.
READ_ALL = {
    "arriving.count_backlog", "listing.counts", "placeholders.sizes", "takeover.extend_deadlines",
    "takeover.forget_destinations", "takeover.give_up_uploads", "uploads.bytes", "uploads.kept", "uploads.release",
}  # fmt: skip
# Others would serve as well by the form of the statement, and read a long range.
BY_INDEX = {
    "scheduling.heads": {"job_due"},
    "scheduling.jobs": {"job_due"},
    "search.open_jobs": {"job_accepting", "job_leased", "job_open", "job_queued_of_principal"},
    "search.ended_jobs": {"job_end"},
    "search.ended_jobs_of_principal": {"job_end_of_principal"},
    "prune.next_ended": {"job_ended"},
}
# For PREPARE, which is given no types.
UNTYPED = re.compile(r"\$(\d+) \+ \$(\d+)")


def test_no_statement_reads_a_whole_table(postgres: Postgres) -> None:
    house = PostgresHouse(postgres)
    faults = {}
    with psycopg.connect(house.address.url) as client:
        client.execute(LOCKS["begin"].replace("$1", "'1'").encode())
        for statement in FILL:
            client.execute(statement.encode())
        for name, statement in statements():
            read = list(nodes(plan(client, statement)))
            whole = {where for node in read if (where := read_whole(node))}
            if whole and name not in READ_ALL:
                faults[name] = whole
            if missing := BY_INDEX.get(name, set()) - {node.get("Index Name") for node in read}:
                faults[name] = missing
        client.rollback()
    house.close()
    assert faults == {}


def statements() -> Iterator[tuple[str, str]]:
    """All with a plan, by module and name."""
    shared = modules("imgserve.jobs.sql")
    own = modules("imgserve.jobs.postgres") - {"schema"}
    for module in shared | own:
        here = load(module) if module in shared else load(module, "postgres")
        for name, statement in here.items():
            text, _ = translated(statement)
            is_planned = text.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))
            if is_planned and "sqlite" not in text and "process" not in text and module != "arriving":
                yield f"{module}.{name}", text


def modules(package: str) -> set[str]:
    return {file.name.removesuffix(".sql") for file in resources.files(package).iterdir() if ".sql" in file.name}


def plan(client: psycopg.Connection, statement: str) -> dict[str, Any]:
    statement = UNTYPED.sub(r"$\1::float8 + $\2", statement)
    client.execute(f"PREPARE planned AS {statement}".encode())
    types: list[str] = one(client, "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'planned'")
    values = f"({', '.join(['NULL'] * len(types))})" if types else ""
    explained: list[dict[str, Any]] = one(client, f"EXPLAIN (FORMAT JSON) EXECUTE planned{values}")
    client.execute("DEALLOCATE planned")
    whole: dict[str, Any] = explained[0]["Plan"]
    return whole


def one(client: psycopg.Connection, statement: str) -> Any:
    row = client.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)


def read_whole(node: dict[str, Any]) -> str:
    """The table or index of which this node may read every row; empty for a small one."""
    table, index = node.get("Relation Name", ""), node.get("Index Name", "")
    if node["Node Type"] == "Seq Scan":
        return "" if table in SMALL_TABLES else table
    return "" if "Index Cond" in node or index in SMALL_INDEXES else index
