"""What the cap and the purge of a prefix need to know of each entry, in a small SQLite file beside the entries.

The file may be lost: ``rebuild`` makes it anew from the entries. No hit asks it. All calls are of one thread, that of
``upkeep``.
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from imgserve.engine.cache.files import sync
from imgserve.engine.cache.notes import Note, Row
from imgserve.errors import cause_of
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sql.queries import read

FILE_NAME = "index.sqlite"
# It is there while no server uses the index, if that knows all files. A row of the index could not say so: a server
# that starts while SQLite cannot write could not take it back, and stores entries all the same.
_WHOLE_NAME = "index.whole"
_VERSION = 2
# Of pages in memory. A rebuild writes three trees at random places; what comes in a second needs no more than SQLite's
# own default, and beside the kernel's pages it would be the same bytes twice.
_CACHE_KIB, _REBUILD_CACHE_KIB = 2_048, 16_384
_LAST_CHARACTER = "\U0010ffff"

SQL = read("imgserve.engine.cache", "index")
IndexFault = apsw.Error
# The file is of no use any more. Any other fault, such as a full disk, may pass.
INDEX_LOST = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError, apsw.SQLError)


def cause_of_fault(error: apsw.Error) -> tuple[str, str]:
    """The cause and its remedy, for a full disk in the words that the files have for it."""
    if isinstance(error, apsw.FullError):
        return cause_of(OSError(errno.ENOSPC, ""))
    return f"SQLite reports: {error}", "see the disk of cache_dir"


class Index:
    """Raises IndexFault where the file is damaged, of another version, or cannot be written. ``is_new``: it was made
    just now.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        path = directory / FILE_NAME
        self._db = apsw.Connection(str(path))
        path.chmod(0o600)  # it has URLs, with their passwords
        # A process that ends loses nothing so, and a power cut the last transactions; no commit waits for the disk.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "temp_store=MEMORY", "wal_autocheckpoint=16384",
                       "journal_size_limit=67108864"):  # fmt: skip
            self._db.execute(f"PRAGMA {pragma}")
        self.hold_pages(for_rebuild=False)
        version = self._db.execute("PRAGMA user_version").get
        self.is_new = version == 0
        if self.is_new:
            with self.transaction():
                self._db.execute(SQL["schema"])
        elif version != _VERSION:
            raise apsw.FormatError(f"the index is of version {version}, expected {_VERSION}")

    def close(self, *, is_whole: bool = False) -> None:
        """``is_whole``: it knows all files, and the next server need not compare it with them. Raises OSError."""
        self._db.close()
        if is_whole:
            (self._directory / _WHOLE_NAME).touch(mode=0o600)

    def hold_pages(self, *, for_rebuild: bool) -> None:
        """In memory, at most as many as this takes."""
        self._db.execute(f"PRAGMA cache_size=-{_REBUILD_CACHE_KIB if for_rebuild else _CACHE_KIB}")
        self._db.execute("PRAGMA shrink_memory")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def totals(self) -> tuple[int, int]:
        """Entries and bytes."""
        entries, size = self._db.execute(SQL["totals"]).get
        return entries, size

    def apply(self, notes: dict[bytes, Note]) -> None:
        if not notes:
            return
        with self.transaction():
            put = [_values(note) for note in notes.values() if isinstance(note, Row)]
            self._db.executemany(SQL["put"], put)
            self._db.executemany(SQL["use"], [(note, name) for name, note in notes.items() if isinstance(note, int)])
            self._db.executemany(SQL["remove"], [(name,) for name, note in notes.items() if note is None])

    def put(self, found: Sequence[Row], gone: Iterable[bytes]) -> None:
        self._db.executemany(SQL["put"], [_values(row) for row in found])
        self._db.executemany(SQL["remove"], [(name,) for name in gone])

    def oldest(self, count: int) -> list[tuple[bytes, int]]:
        """Name and size of the least recently used."""
        return rows(self._db, SQL["oldest"], (count,))

    def between(self, names: tuple[bytes, bytes]) -> dict[bytes, int]:
        """Name and size."""
        return dict(rows(self._db, SQL["between"], names))

    def unread(self, after: bytes, count: int) -> list[Row]:
        """The next ones behind a name, in order, of which the source is not known."""
        return [Row(*row) for row in rows(self._db, SQL["unread"], (after, count))]

    def of_prefix(self, prefix: str, epoch: int, count: int) -> list[bytes]:
        """Entries of an epoch before this one whose source begins so."""
        found = rows(self._db, SQL["of_prefix"], (prefix, prefix + _LAST_CHARACTER, epoch, count))
        return [name for (name,) in found]


def take_over(directory: Path) -> bool:
    """Whether the last server has closed the index as a whole one. This one is trusted no more until it closes it, even
    after a power cut. Raises OSError.
    """
    try:
        (directory / _WHOLE_NAME).unlink()
    except FileNotFoundError:
        return False
    sync(directory)
    return True


def bytes_counted(directory: Path) -> int:
    """By the index of a cache that a server may be using; 0 where it has none that can be read."""
    try:
        index = apsw.Connection(str(directory / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error:
        return 0
    try:
        return int(index.execute(SQL["totals"]).get[1])
    except apsw.Error:
        return 0
    finally:
        index.close()


def remove_index(directory: Path) -> None:
    """Delete a closed one. Raises OSError."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        (directory / f"{FILE_NAME}{suffix}").unlink(missing_ok=True)


def _values(row: Row) -> tuple[bytes, int, int, int, str | None]:
    return row.name, row.size, row.used_at, row.epoch, row.source
