"""The schema of the queue's tables, created and migrated by one node at a time, under an advisory lock.

A step first expands, and contracts one version later: programs of two neighbouring versions work side by side.
``owner.oldest`` is the oldest schema whose programs may work with the tables.
"""

import secrets
from importlib import resources

from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.postgres.connection import Connection
from imgserve.jobs.sql.queries import load

SCHEMA_VERSION = 1
SQL = load("migrating", "postgres")


def migrate(db: Connection) -> None:
    """Inside the caller's transaction, which keeps other nodes waiting until its end. Raises StorageFailing."""
    db.execute(SQL["lock"])
    if not db.execute(SQL["has_tables"]).get:
        if not db.execute(SQL["has_schema"]).get:
            db.execute(SQL["create_schema"])
        db.execute(SQL["use"]).fetchone()
        for statement in script("schema.sql"):
            db.execute(statement)
        db.execute(SQL["add_owner"], (secrets.token_hex(4), SCHEMA_VERSION))
        return
    db.execute(SQL["use"]).fetchone()
    schema, oldest = db.execute(SQL["version"]).get
    if oldest > SCHEMA_VERSION:
        raise StorageFailing(
            f"the queue has schema {schema}, and programs older than schema {oldest} may not work with it; this"
            f" imgserve knows {SCHEMA_VERSION}",
            "start the newer version of imgserve",
        )
    for step in range(schema + 1, SCHEMA_VERSION + 1):
        for statement in script(f"schema_{step}.sql"):
            db.execute(statement)
        db.execute(SQL["set_version"], (step,))


def script(name: str) -> list[str]:
    """Its statements; a prepared statement is one alone."""
    text = (resources.files("imgserve.jobs.postgres") / name).read_text()
    lines = (line.partition("--")[0].rstrip() for line in text.splitlines())
    return [statement for part in "\n".join(lines).split(";") if (statement := part.strip())]
