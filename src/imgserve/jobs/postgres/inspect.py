"""A look at the database of a queue from outside its servers: nothing is written. Called by ``imgserve check``."""

from ipaddress import ip_address
from typing import Any

import msgspec
import psycopg

from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.postgres import durability
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.breakage import storage_failing
from imgserve.jobs.postgres.connection import LOCKS, ReadConnection
from imgserve.jobs.postgres.durability import Durability
from imgserve.jobs.postgres.schema import SCHEMA_VERSION
from imgserve.jobs.postgres.schema import SQL as MIGRATING
from imgserve.jobs.protocol import Counts
from imgserve.jobs.queue_url import shown
from imgserve.jobs.sql import listing
from imgserve.jobs.sql.queries import load
from imgserve.jobs.views import NodeView

SQL = load("inspect", "postgres")

Raw = psycopg.Connection[tuple[Any, ...]]


class Server(msgspec.Struct, frozen=True):
    """The database server, and what the queue's user may do there. ``connections`` are those to all databases now.

    ``can_create``: the user may create tables, where the queue has its own or will have them.
    """

    version: str
    version_number: int
    user: str
    encoding: str
    max_connections: int
    connections: int
    can_create: bool


class Contents(msgspec.Struct, frozen=True):
    """The queue. ``oldest``: the schema of the oldest program that may work with it.

    ``counts`` and ``nodes`` are those of a queue of the newest schema; times are the database's.
    """

    schema: int
    oldest: int
    newest_schema: int = SCHEMA_VERSION
    counts: Counts | None = None
    nodes: tuple[NodeView, ...] = ()


class Inspected(msgspec.Struct, frozen=True):
    """``is_private``: the connection is encrypted, or does not leave the machine. ``is_pooled``: it ends at a pooler.

    ``denied``: tables of the queue that the user may not read and change. ``contents`` is None before the first start,
    and while some are denied.
    """

    server: Server
    is_private: bool
    is_pooled: bool
    durability: Durability
    denied: tuple[str, ...] = ()
    contents: Contents | None = None


def inspect(address: Address, lease_s: float, *, is_direct: bool = False) -> Inspected:
    """A node that was not seen for ``lease_s`` is dead. Raises StorageFailing for a database that does not answer."""
    place = shown(address.direct if is_direct else address.url)
    try:
        with psycopg.connect(address.conninfo(is_direct=is_direct), prepare_threshold=None) as raw:
            return _read(raw, lease_s)
    except psycopg.Error as error:
        what = "it cannot be read"
        raise storage_failing(error, what, place) or StorageFailing(f"{what}: {error}", "report it") from error


def _read(raw: Raw, lease_s: float) -> Inspected:
    db = ReadConnection(raw, is_pooled=True)
    now: float = db.execute(LOCKS["begin"], ("0",)).fetchone()[0]
    server = Server(*db.execute(SQL["server"]).fetchone())
    tables: dict[str, bool] = dict(db.execute(SQL["tables"]).fetchall())
    denied = tuple(sorted(name for name, is_allowed in tables.items() if not is_allowed))
    return Inspected(
        server,
        raw.pgconn.ssl_in_use or _is_here(raw.info.hostaddr),
        # A pooler has told the client a number of its own.
        raw.info.backend_pid != db.execute(SQL["backend"]).get,
        durability.read(db),
        denied,
        _contents(db, now - lease_s) if tables and not denied else None,
    )


def _contents(db: ReadConnection, alive_since: float) -> Contents:
    schema, oldest = db.execute(MIGRATING["version"]).get
    if schema != SCHEMA_VERSION:
        return Contents(schema, oldest)
    return Contents(schema, oldest, counts=listing.counts(db, float), nodes=listing.nodes(db, alive_since, float))


def _is_here(address: str) -> bool:
    """Whether it leads to this machine. A Unix socket has none."""
    return not address or ip_address(address).is_loopback
