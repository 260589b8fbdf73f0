"""The queue file's schema: ``schema.sql`` creates a new file, ``schema_N.sql`` brings an older one from N-1 to N.

A released script is never changed. Called when the file is opened, and by ``imgserve check``.
"""

from functools import cache
from importlib import resources

import apsw

from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.sql.database import rows

SCHEMA_VERSION = 16
OWN_DIRECTORY = "move the file away, or give this server its own --data-dir"
UNRELEASED = f"start the version that wrote it, so that its jobs end; or {OWN_DIRECTORY}"


def migrate(db: apsw.Connection) -> None:
    """Bring the file to the newest schema, inside the caller's transaction.

    Raises StorageFailing for a file that is newer, of a version that was never released, or none of ours.
    """
    version: int = db.execute("PRAGMA user_version").get
    if version > SCHEMA_VERSION:
        raise StorageFailing(
            f"the queue file has schema {version}, this imgserve knows {SCHEMA_VERSION}",
            "start the newer imgserve that wrote it, or give this one its own --data-dir",
        )
    if version == 0:
        check_empty(db)
        db.execute(_sql("schema.sql"))
        db.execute("INSERT INTO owner (epoch, id) VALUES (0, lower(hex(randomblob(4))))")
    else:
        _upgrade(db, version)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    check_shape(db)


def check_empty(db: apsw.Connection) -> None:
    """Raises StorageFailing for a file without a schema of ours that has tables."""
    if _shape(db):
        raise StorageFailing("the queue file is a database of another program", OWN_DIRECTORY)


def check_shape(db: apsw.Connection) -> None:
    """Raises StorageFailing when a file of the newest schema has other columns or indexes than that schema.

    Tables of other programs, such as a tool that copies the file elsewhere, are theirs.
    """
    expected = _expected()
    tables = {part.partition(".")[0] for part in expected}
    actual = {part: sql for part, sql in _shape(db).items() if part.partition(".")[0] in tables}
    if actual == expected:
        return
    part = next(part for part in sorted(expected | actual) if expected.get(part) != actual.get(part))
    known_fault = "other than that version's" if part in actual else "missing"
    fault = known_fault if part in expected else "unknown"
    raise StorageFailing(
        f"the queue file says schema {SCHEMA_VERSION}, but is of no released version: {part} is {fault}", UNRELEASED
    )


def _upgrade(db: apsw.Connection, version: int) -> None:
    for step in range(version + 1, SCHEMA_VERSION + 1):
        try:
            db.execute(_sql(f"schema_{step}.sql"))
        except apsw.SQLError as error:
            raise StorageFailing(
                f"the queue file says schema {version}, but cannot be led to {step}: {error}", UNRELEASED
            ) from error


def _sql(name: str) -> str:
    return (resources.files("imgserve.jobs.sqlite") / name).read_text()


def _shape(db: apsw.Connection) -> dict[str, str]:
    """Columns by table.name with their type, and indexes by name with their columns."""
    columns = rows(
        db,
        "SELECT entry.name || '.' || field.name, field.type FROM sqlite_schema AS entry"
        " JOIN pragma_table_info(entry.name) AS field WHERE entry.type = 'table' AND entry.name NOT LIKE 'sqlite_%'",
    )
    return dict(columns + rows(db, "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"))


@cache
def _expected() -> dict[str, str]:
    db = apsw.Connection(":memory:")
    db.execute(_sql("schema.sql"))
    return _shape(db)
