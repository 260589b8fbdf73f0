"""Gives events their numbers, in the order in which they are seen.

An event is added without one: the order of inserts is not that of commits. A number that a reader has seen is
committed, and a later one is higher.
"""

from imgserve.jobs.postgres.connection import ReadConnection
from imgserve.jobs.sql.queries import load

SQL = load("numbering", "postgres")

# At a time: nobody waits longer for the lock.
CHUNK_EVENTS = 5000


def number(db: ReadConnection) -> bool:
    """Number some; whether none is left. One transaction."""
    db.execute(SQL["lock"])
    db.execute(SQL["number"], (CHUNK_EVENTS,))
    return db.changes() < CHUNK_EVENTS
