"""Moves the queue of a stopped server from its file into a database of PostgreSQL. Called by ``imgserve queue move``.

Rows are copied table by table in the order of their keys, so that a move that was cut off goes on behind the last one.
Then all of them are compared. Last the file is renamed, and after that the tables become the queue's: at no time there
are two queues that would carry out the same jobs.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from imgserve.clock import STEP_S, Clock
from imgserve.jobs import move_uploads
from imgserve.jobs.config import Config
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.postgres import arriving
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.arriving import ArrivingQueue, Progress
from imgserve.jobs.queue_url import shown
from imgserve.jobs.sqlite import leaving
from imgserve.jobs.sqlite.leaving import LeavingQueue
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.jobs.sqlite.texts import as_text

# Rows of a transaction: a few MB at most.
CHUNK_ROWS = 5000

# The tables that are copied, each after those that it refers to, and their keys. ``owner`` and ``backlog`` are written
# at the end, and the file's processes are no nodes.
TABLES = {
    "job": ("number",), "output": ("id",), "outbox": ("id",), "webhook_try": ("number",), "upload": ("id",),
    "destination": ("key",), "event": ("number",), "idempotency": ("key", "principal"), "placeholder": ("digest",),
}  # fmt: skip
TIMES = frozenset({
    "at", "created_at", "deadline_at", "delivered_at", "due_at", "ended_at", "lease_until", "not_before",
    "quiet_until", "run_at", "seen_at", "until",
})  # fmt: skip
# Columns that the file does not have so. No node has epoch 0; jobs of versions without principals have none.
_OTHERS = {
    "job": {"epoch": "0", "principal": "CAST(coalesce(principal, '') AS BLOB)"},
    "destination": {"epoch": "0"},
    "event": {"id": "number"},
    "upload": {"epoch": "0"},
}

Row = tuple[object, ...]


class Moved(NamedTuple):
    """``rows`` of each table. ``is_new``: this call has moved them, and no earlier one."""

    rows: dict[str, int]
    is_new: bool = True


class Table(NamedTuple):
    """``columns`` with the expressions that read them from the file. ``texts`` are the places of those that are read as
    bytes, since a disk may have changed them.
    """

    name: str
    key: tuple[str, ...]
    columns: dict[str, str]
    texts: tuple[int, ...]


def move(
    data_dir: Path, address: Address, config: Config, now: float | Clock, say: Callable[[str], None] = lambda _: None,
    *, with_pictures: bool = True,
) -> Moved:  # fmt: skip
    """A clock goes on where the last server's ended. ``say`` gets a line for each table.

    ``with_pictures``: those of uploads come into the database too. Raises StorageFailing, OSError; the same call then
    goes on where this one ended.
    """
    with leaving.opened(data_dir) as file, arriving.opened(address) as target:
        if (known := target.queue_id()) is not None:
            return _arrived(file, known, address)
        progress = _begun(file, target, config, now, address)
        tables = [_table(file, name) for name in TABLES]
        for table in tables:
            _copy(file, target, table, progress.ahead_s)
            say(f"{table.name}: copied")
        if with_pictures:
            move_uploads.copy(file, target, say)
        counts = {table.name: _compare(file, target, table, progress.ahead_s) for table in tables}
        counts[move_uploads.TABLE] = move_uploads.compare(file, target) if with_pictures else 0
        counters, events_gone = file.counters(), file.events_gone()
        if target.queue_id() is not None:
            raise StorageFailing(f"a server has begun a queue in {shown(address.url)} meanwhile", arriving.DROP_HINT)
        if not file.has_left:
            file.leave()
        target.become_the_queue(counters, events_gone)
        return Moved(counts)


def _arrived(file: LeavingQueue, queue_id: str, address: Address) -> Moved:
    if queue_id == file.id and file.has_left:
        return Moved({}, is_new=False)
    raise StorageFailing(f"{shown(address.url)} has a queue already", arriving.DROP_HINT)


def _begun(file: LeavingQueue, target: ArrivingQueue, config: Config, now: float | Clock, address: Address) -> Progress:
    """The earlier move of the same file, if no server has had it since; else a new one."""
    begun = target.progress()
    if begun is not None and begun.id != file.id:
        raise StorageFailing(
            f"the queue of another data directory is being moved into {shown(address.url)}",
            f"finish that move; or, if it is given up, drop the schema {arriving.MOVE_SCHEMA}",
        )
    if begun is not None and begun.epoch == file.epoch and begun.is_of_this_program:
        return begun
    if file.has_left:
        raise StorageFailing(
            f"the queue has been moved, but not into {shown(address.url)}",
            f"name the database that it was moved into; to move it again, name the file {FILE_NAME} again",
        )
    queue_s = file.settle(config, now)
    ahead_s = target.now() - queue_s if isinstance(now, Clock) else 0.0
    new = Progress(file.id, file.epoch, ahead_s if abs(ahead_s) >= STEP_S else 0.0)
    target.begin(new)
    return new


def _table(file: LeavingQueue, name: str) -> Table:
    types = file.columns(name)
    columns = {column: _expression(column, type_) for column, type_ in types.items()} | _OTHERS.get(name, {})
    texts = tuple(place for place, column in enumerate(columns) if types.get(column) == "TEXT")
    return Table(name, TABLES[name], columns, texts)


def _expression(column: str, type_: str) -> str:
    if column in TIMES:
        return f'CASE WHEN "{column}" <> 0 THEN "{column}" + ?1 ELSE "{column}" END'  # 0 is no time
    return f'CAST("{column}" AS BLOB)' if type_ == "TEXT" else f'"{column}"'


def _read(file: LeavingQueue, table: Table, ahead_s: float, after: Row | None) -> Iterator[list[Row]]:
    """Chunks of the rows behind that key."""
    key = ", ".join(f'"{name}"' for name in table.key)
    places = ", ".join(f"?{number}" for number in range(2, len(table.key) + 2))
    while True:
        behind = "" if after is None else f"WHERE ({key}) > ({places})"
        chunk = file.read(
            f"SELECT {', '.join(table.columns.values())} FROM {table.name} {behind}"  # noqa: S608 - names of the schema
            f" ORDER BY {key} LIMIT {CHUNK_ROWS}",
            (ahead_s, *(after or ())),
        )
        if not chunk:
            return
        rows = [_with_texts(table, row) for row in chunk]
        yield rows
        after = _key_of(table, rows[-1])


def _with_texts(table: Table, row: Row) -> Row:
    values = list(row)
    for place in table.texts:
        stored = values[place]
        if isinstance(stored, bytes):
            values[place] = as_text(stored).replace("\0", "\ufffd")  # PostgreSQL's texts have no zero bytes
    return tuple(values)


def _key_of(table: Table, row: Row) -> Row:
    places = list(table.columns)
    return tuple(row[places.index(name)] for name in table.key)


def _copy(file: LeavingQueue, target: ArrivingQueue, table: Table, ahead_s: float) -> None:
    after = target.last_key(table.name, table.key)
    for chunk in _read(file, table, ahead_s, after):
        target.add(table.name, tuple(table.columns), chunk)


def _compare(file: LeavingQueue, target: ArrivingQueue, table: Table, ahead_s: float) -> int:
    """The number of its rows. Raises StorageFailing when the two tables differ."""
    count, after = 0, None
    for expected in _read(file, table, ahead_s, None):
        arrived = target.read(table.name, tuple(table.columns), table.key, after, len(expected))
        if _digest(arrived) != _digest(expected):
            raise _differing(table)
        count, after = count + len(expected), _key_of(table, expected[-1])
    if target.read(table.name, tuple(table.columns), table.key, after, 1):
        raise _differing(table)
    return count


def _digest(rows: list[Row]) -> bytes:
    return hashlib.sha256(msgspec.msgpack.encode(rows)).digest()


def _differing(table: Table) -> StorageFailing:
    return StorageFailing(
        f"the table {table.name} is not the file's",
        f"drop the schema {arriving.MOVE_SCHEMA} and move again; the file is as it was",
    )
