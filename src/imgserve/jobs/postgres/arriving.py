"""Tables of a queue that is moved into the database, in a schema of their own until all of it has come. Called by
``jobs.move``.

That schema becomes the queue's in one transaction, so a server finds the whole queue or none.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import psycopg

from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.postgres import nodes, schema
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.breakage import storage_failing
from imgserve.jobs.postgres.connection import ReadConnection
from imgserve.jobs.queue_url import shown
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sql.queries import load

SQL = load("arriving", "postgres")
MOVE_SCHEMA = "imgserve_move"

# The columns whose numbers the database gives out, by table; the numbers of events have a sequence of their own.
_COUNTED = {"job": "number", "output": "id", "outbox": "id", "webhook_try": "number", "event": "id"}


class Progress(msgspec.Struct, frozen=True):
    """A move that has begun: of the queue of this ``id``, as it was at that ``epoch``.

    ``ahead_s`` is added to its times; ``schema`` is the tables'.
    """

    id: str
    epoch: int
    ahead_s: float
    schema: int = schema.SCHEMA_VERSION

    @property
    def is_of_this_program(self) -> bool:
        return self.schema == schema.SCHEMA_VERSION


class ArrivingQueue:
    def __init__(self, db: ReadConnection) -> None:
        self._db = db

    def queue_id(self) -> str | None:
        """Of the queue that the database has."""
        with self._db.raw.transaction():
            has_queue: bool = self._db.execute(SQL["has_queue"]).get
            return self._db.execute(SQL["queue_id"]).get if has_queue else None

    def progress(self) -> Progress | None:
        with self._db.raw.transaction():
            has_begun: bool = self._db.execute(SQL["has_begun"]).get
            return Progress(*self._db.execute(SQL["progress"]).get) if has_begun else None

    def now(self) -> float:
        with self._db.raw.transaction():
            seconds: float = self._db.execute(nodes.SQL["now"]).get
            return seconds

    def begin(self, progress: Progress) -> None:
        """An earlier move that was not finished is forgotten."""
        with self._db.raw.transaction():
            self._db.execute(schema.SQL["lock"])
            self._db.execute(SQL["forget"])
            self._db.execute(SQL["create_schema"])
            self._db.execute(SQL["use"])
            for statement in schema.script("schema.sql"):
                self._db.execute(statement)
            self._db.execute(SQL["create_move"])
            self._db.execute(SQL["add_move"], msgspec.structs.astuple(progress))

    def last_key(self, table: str, key: Sequence[str]) -> tuple[object, ...] | None:
        """Of the rows that have come, in the order of their keys."""
        with self._using():
            order = ", ".join(f"{_ordered(name)} DESC" for name in key)
            last: tuple[object, ...] | None = self._db.execute(
                f"SELECT {_listed(key)} FROM {table} ORDER BY {order} LIMIT 1"  # noqa: S608 - names of the schema
            ).fetchone()
            return last

    def add(self, table: str, columns: Sequence[str], chunk: Sequence[tuple[object, ...]]) -> None:
        statement = f"COPY {table} ({_listed(columns)}) FROM STDIN"
        with self._using(), self._db.raw.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for row in chunk:
                copy.write_row(row)

    def read(
        self, table: str, columns: Sequence[str], key: Sequence[str], after: tuple[object, ...] | None, most: int
    ) -> list[tuple[Any, ...]]:
        """Rows behind that key, in the order of their keys."""
        order = ", ".join(map(_ordered, key))
        places = ", ".join(f"${number}" for number in range(1, len(key) + 1))
        behind = "" if after is None else f"WHERE ({order}) > ({places})"
        select = f"SELECT {_listed(columns)} FROM {table} {behind} ORDER BY {order} LIMIT {most}"  # noqa: S608
        with self._using():
            return rows(self._db, select, after or ())

    def become_the_queue(self, counters: Mapping[str, int], events_gone: int) -> None:
        """``counters``: the highest number that each table has given out. Raises StorageFailing if there is a queue."""
        with self._using():
            self._db.execute(schema.SQL["lock"])
            if self._db.execute(SQL["has_queue"]).get:
                raise StorageFailing("a server has begun a queue in the database meanwhile", DROP_HINT)
            id_ = self._db.execute(SQL["progress"]).get[0]
            self._db.execute(SQL["add_owner"], (id_, schema.SCHEMA_VERSION, events_gone))
            self._db.execute(SQL["count_backlog"])
            for table, column in _COUNTED.items():
                sequence: str = self._db.execute(SQL["counter_of"], (table, column)).get
                self._db.execute(SQL["set_counter"], (sequence, counters.get(table, 0)))
            self._db.execute(SQL["set_counter"], ("event_number", counters.get("event", 0)))
            self._db.execute(SQL["drop_move"])
            self._db.execute(SQL["make_way"])
            self._db.execute(SQL["become_the_queue"])

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        with self._db.raw.transaction():
            self._db.execute(SQL["use"])
            yield


DROP_HINT = "name an empty database; or, if nothing in this one is needed, drop its schema imgserve"


@contextlib.contextmanager
def opened(address: Address) -> Iterator[ArrivingQueue]:
    """Raises StorageFailing."""
    try:
        with psycopg.connect(address.conninfo(is_direct=True)) as raw:
            yield ArrivingQueue(ReadConnection(raw))
    except psycopg.Error as error:
        place = shown(address.url)
        what = f"the queue cannot be moved into {place}"
        failure = storage_failing(error, what, place, "then run the same command again")
        raise failure or StorageFailing(f"{what}: {error}", "report it") from error


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _ordered(name: str) -> str:
    """As SQLite orders texts: by their bytes."""
    return f'"{name}" COLLATE "C"' if name in _TEXTS else f'"{name}"'


_TEXTS = frozenset({"key", "principal"})
