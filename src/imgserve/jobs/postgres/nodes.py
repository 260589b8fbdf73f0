"""The server processes that share the queue: a row for each, with its last heartbeat."""

import os
from collections.abc import Sequence
from importlib.metadata import version

import msgspec

from imgserve.jobs.postgres.connection import Connection
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sql.queries import load
from imgserve.jobs.stored import FORMAT

SQL = load("nodes", "postgres")

SKIPPED_EVENTS = 100_000


def register(db: Connection, role: str, now: float, home: str = "") -> int:
    """The new node's epoch. ``home``: the lock of its data directory, so that the one that held it before is dead."""
    name = f"{os.uname().nodename}:{os.getpid()}"
    epoch: int = db.execute(SQL["register"], (name, role, version("imgserve"), FORMAT, now, home)).get
    if home:
        db.execute(SQL["end_former"], (home, epoch))
    return epoch


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
    return row


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
