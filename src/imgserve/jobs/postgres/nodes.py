"""The server processes that share the queue: a row for each, with its last heartbeat."""

import os
from collections.abc import Sequence
from importlib.metadata import version

import msgspec

from imgserve.jobs.postgres.connection import Connection
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sql.queries import load
from imgserve.jobs.stored import FORMAT
from imgserve.telemetry import logs

SQL = load("nodes", "postgres")

SKIPPED_EVENTS = 100_000
# A process that waits for its client ends at once.
END_MS = 1000


def register(db: Connection, role: str, now: float, home: str = "") -> int:
    """The new node's epoch. ``home``: the lock of its data directory, so that the one that held it before is dead."""
    name = f"{os.uname().nodename}:{os.getpid()}"
    epoch: int = db.execute(SQL["register"], (name, role, version("imgserve"), FORMAT, now, home)).get
    if home:
        db.execute(SQL["end_former"], (home, epoch))
    note_backend(db, epoch)
    return epoch


def note_backend(db: Connection, own: int) -> None:
    """Let others end this connection when they take the node over."""
    db.execute(SQL["note_backend"], (own, db.raw.info.backend_pid))


def end_backends(db: Connection, own: int, before: float) -> None:
    """End the connections of the nodes whose last heartbeat was earlier.

    A node that stands still in the middle of a transaction keeps its locks: until the next statement of a pipeline
    PostgreSQL waits without a time-out. It is safe for a node that lives after all, which connects anew.
    """
    for epoch, backend, role, is_ended in rows(db, SQL["end_backends"], (before, own, END_MS)):
        if is_ended:
            logs.event("connection_ended", level=logs.WARNING, epoch=epoch, backend=backend)
        else:
            reason = "it does not end" if is_ended is False else "the queue's user has no right to"
            detail = f"the dead node's connection was not ended, and may keep locks: {reason}"
            logs.event(
                "connection_not_ended", level=logs.WARNING, epoch=epoch, backend=backend, role=role, detail=detail
            )


def dead(db: Connection, own: int, before: float) -> list[int]:
    """The epochs of the nodes whose last heartbeat was earlier, as far as no other node is taking them over."""
    return [epoch for (epoch,) in rows(db, SQL["dead"], (before, own))]


class Sight(msgspec.Struct, frozen=True):
    """What a heartbeat has seen. ``is_lease_over``: of a claim, whose node may be alive."""

    now: float
    has_others: bool
    has_dead: bool
    is_lease_over: bool
    has_unnumbered_events: bool


def look(db: Connection, own: int, before: float, now: float) -> Sight:
    """``before``: a node with an earlier heartbeat is dead."""
    return Sight(now, *db.execute(SQL["look"], (own, before, now)).get)


def skip_events(db: Connection) -> None:
    """A reader may have seen numbers that a promoted standby does not know. They are not given again."""
    db.execute(SQL["skip_events"], (SKIPPED_EVENTS,))


def mark(db: Connection, own: int, link: int, commit: int) -> None:
    """Let this transaction be the node's ``commit``. It fails if ``link`` is not the node's last connection."""
    db.execute(SQL["mark"], (own, link, commit))


def relink(db: Connection, own: int) -> tuple[int, int] | None:
    """The number of this connection, and the last commit over the ones before it, which cannot commit any more.

    None: the node was taken over.
    """
    row: tuple[int, int] | None = db.execute(SQL["relink"], (own,)).fetchone()
    if row is not None:
        note_backend(db, own)
    return row


def spare(db: Connection, own: int, now: float, lease_s: float) -> None:
    """Give the others, and their claims, a lease from now on, if the database was away.

    Then their heartbeats stopped together with this node's: those that lived at its last one may come back any moment.
    Not after a short absence, or a node that comes and goes would keep dead ones alive.
    """
    db.execute(SQL["spare"], (own, now, lease_s))


def go_on(db: Connection, own: int, now: float, lease_until: float) -> None:
    """This node is alive, and so are its claims, though their leases may have ended while the database was away."""
    db.execute(SQL["note_alive"], (own, now))
    db.execute(SQL["prolong_claims"], (own, lease_until))


def leave(db: Connection, own: int) -> None:
    """This node ends: what it leaves may be taken over at once."""
    db.execute(SQL["leave"], (own,))


def tell(db: Connection, text: bytes) -> None:
    """As ``signals`` does, which has no connection now."""
    db.execute(SQL["tell"], (text.decode(),))


def forget(db: Connection, epochs: Sequence[int]) -> None:
    db.execute(SQL["forget"], (list(epochs),))


def queue_id(db: Connection) -> str:
    id_: str = db.execute(SQL["queue_id"]).get
    return id_


def now(db: Connection) -> float:
    """The database's clock."""
    seconds: float = db.execute(SQL["now"]).get
    return seconds
