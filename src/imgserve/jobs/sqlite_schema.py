"""The queue file's schema: ``schema.sql`` begins a new file, ``schema_N.sql`` leads an older one from N-1 to N.

What has been released is never changed. Called once, when the file is opened.
"""

from importlib import resources

import apsw

from imgserve.jobs.queue import StorageFailing

SCHEMA_VERSION = 6


def migrate(db: apsw.Connection) -> None:
    """Bring the file to the newest schema, inside the caller's transaction. Raises StorageFailing when it is newer."""
    version: int = db.execute("PRAGMA user_version").get
    if version > SCHEMA_VERSION:
        raise StorageFailing(
            f"the queue file has schema {version}, this imgserve knows {SCHEMA_VERSION}",
            "start the newer imgserve that wrote it, or give this one its own --data-dir",
        )
    if version == 0:
        db.execute((resources.files("imgserve.jobs") / "schema.sql").read_text())
        db.execute("INSERT INTO owner (epoch, id) VALUES (0, lower(hex(randomblob(4))))")
    else:
        for step in range(version + 1, SCHEMA_VERSION + 1):
            db.execute((resources.files("imgserve.jobs") / f"schema_{step}.sql").read_text())
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
