"""Whether a database keeps what it has confirmed, by its settings
(https://www.postgresql.org/docs/current/runtime-config-wal.html). For the log, /health and ``imgserve check``.
"""

from typing import NamedTuple

from imgserve.jobs.sql.database import Reader

REMEDY = "fsync = on, and synchronous_commit = on for the queue's user (ALTER ROLE … SET)"
_SQL = """
SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('synchronous_standby_names')
"""


class Durability(NamedTuple):
    """The settings of these names. ``standbys``: those whose confirmation a commit waits for."""

    fsync: str
    synchronous_commit: str
    standbys: str

    @property
    def weakness(self) -> str:
        """What may be lost, and when; empty where the database keeps the queue's promise."""
        setting = self.synchronous_commit
        if self.fsync == "off":
            return "fsync is off: the whole queue may be lost when the database's machine fails"
        if setting == "off":
            return "synchronous_commit is off: accepted jobs may be lost when the database fails"
        if self.standbys and setting in ("local", "remote_write"):
            return f"synchronous_commit is {setting}: accepted jobs may be lost when a standby is promoted"
        return ""


def read(db: Reader) -> Durability:
    return Durability(*db.execute(_SQL).fetchone())
