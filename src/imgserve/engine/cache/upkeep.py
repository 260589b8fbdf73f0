"""The thread that keeps a cache's directory within its cap: it writes the index, evicts the least recently used,
deletes what a prefix purge covers, and rebuilds the index where it was lost.

    open the directory ── open the index ── [walk the directories] ── flush notes ── evict ── delete purged ── wait

The walk compares the names and sizes in each of the directories with those in the index. It is needed when the index is
new, and when the last server did not close it: the notes of its last second are missing then. Between two directories
the other steps go on. The headers of files that the walk has found are read when a prefix is purged, not before.
"""

import threading
import time
from collections.abc import Callable, Iterator

import msgspec

from imgserve import failpoint
from imgserve.engine.cache.entry import Damaged, Header
from imgserve.engine.cache.health import Health
from imgserve.engine.cache.index import INDEX_LOST, Index, IndexFault, Notes, Row, remove_index
from imgserve.engine.cache.purge import Record, Records
from imgserve.engine.cache.store import FAN, Store, number_of, range_of
from imgserve.errors import cause_of
from imgserve.telemetry import logs

# Notes are at most so old when they get into the index.
TICK_S = 1.0
# Above the first part of the cap entries are evicted, down to the second one: in batches, so that it is not for each.
_HIGH, _LOW = 0.95, 0.90
_BATCH = 1000
# Directories of one transaction of the walk.
_WALKED_AT_ONCE = 32


class Usage(msgspec.Struct, frozen=True):
    """Of the directory, as far as the index knows it."""

    entries: int = 0
    size_bytes: int = 0
    is_whole: bool = False


class Upkeep:
    """Owns the store and the index from ``start`` to ``stop``. ``usage`` and ``is_open`` may be read by any thread."""

    def __init__(
        self,
        name: str,
        store: Store,
        records: Records,
        health: Health,
        cap_bytes: int,
        min_free_bytes: int,
    ) -> None:
        self._store = store
        self._records = records
        self._health = health
        self._cap_bytes = cap_bytes
        self._min_free_bytes = min_free_bytes
        self.notes = Notes()
        self.usage = Usage()
        self.is_open = False
        self.evicted = 0
        self._index: Index | None = None
        self._needed_bytes = 0
        self._unsynced: set[int] = set()
        self._walk: Iterator[None] | None = None
        self._is_compared = False
        self._has_tried = threading.Event()
        self._wake = threading.Event()
        self._is_stopping = self._is_done = False
        self._thread = threading.Thread(target=self._run, name=f"imgserve-cache-{name}", daemon=True)

    def start(self) -> None:
        """Return when the directory is open, or could not be opened; it is tried again then."""
        self._thread.start()
        self._has_tried.wait()

    def wake(self) -> None:
        self._wake.set()

    def make_room(self, size_bytes: int) -> None:
        """An answer of this size did not fit."""
        self._needed_bytes = max(self._needed_bytes, size_bytes)
        self._wake.set()

    @property
    def is_idle(self) -> bool:
        """Nothing has happened since the last round ended well."""
        return self._is_done and not self._wake.is_set() and self.notes.is_empty

    def stop(self) -> None:
        """Return when the index is written and closed."""
        self._is_stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping:
            self._is_done = False
            self._wake.clear()
            self._is_done = self._guarded(self._round) and self.is_open
            self._has_tried.set()
            # A walk goes on at once.
            if self._walk is None or not self._health.may_write:
                self._wake.wait(TICK_S)
        self._guarded(self._close)
        self._store.close()

    def _guarded(self, work: Callable[[], None]) -> bool:
        """Whether it went well."""
        try:
            work()
        except INDEX_LOST as error:
            self._replace_index(str(error))
        except IndexFault as error:
            self._health.failed("index", f"SQLite reports: {error}", "see the disk of cache_dir")
            self._distrust_index()
        except OSError as error:
            self._health.failed("entries", *cause_of(error, "the server's user"))
        else:
            return True
        return False

    def _round(self) -> None:
        if not self._health.may_write:
            return
        if not self.is_open:
            self._open()
            return  # the first hits do not wait for the index
        index = self._open_index()
        self._give_room(index)
        if self._health.is_failing("entries"):
            self._store.probe()
            self._health.worked("entries")
        self._walk_on(index)
        self._flush(index)
        self._evict(index)
        records = self._records.deletable
        if records and self.usage.is_whole and self._read_headers(index):
            for record in records:
                self._delete_purged(index, record)
        self._store.delete_old(lambda: self._is_stopping)

    def _open(self) -> None:
        self._store.open()
        try:
            if not self._records.load():
                self._store.set_aside()
                self._records.reset()
            self.is_open = True
        finally:
            if not self.is_open:
                self._store.close()
        self._wake.set()
        self._health.worked("entries")

    def _open_index(self) -> Index:
        if self._index is None:
            self._index = Index(self._store.directory)
            entries, size, self._is_compared = self._index.totals()
            self.usage = Usage(entries, size, self._is_compared)
            # Until it is closed: a server that is killed loses its last notes.
            self._index.set_whole(False)
        if self.notes.is_overfull:
            self.notes.is_overfull = False
            self._distrust_index()
        return self._index

    def _distrust_index(self) -> None:
        """Notes were lost: compare it with the directories."""
        self._is_compared, self._walk = False, None
        self.usage = msgspec.structs.replace(self.usage, is_whole=False)

    def _replace_index(self, reason: str) -> None:
        """The next round begins with an empty one."""
        logs.event("cache_index_lost", level=logs.WARNING, directory=str(self._store.directory), detail=reason)
        self._distrust_index()
        self.usage = Usage()
        if self._index is not None:
            index, self._index = self._index, None
            index.close()
        self._guarded(lambda: remove_index(self._store.directory))

    def _flush(self, index: Index) -> None:
        notes, added_bytes = self.notes.take()
        try:
            index.apply(notes)
            failpoint.reach("cache_noted")
            self._count(index)
        finally:
            self.notes.counted(added_bytes)
        self._health.worked("index")

    def _count(self, index: Index) -> None:
        entries, size, _ = index.totals()
        self.usage = Usage(entries, size, self._is_compared)

    def _give_room(self, index: Index) -> None:
        """Give up entries where the disk has too little room for others. Works on a full disk too."""
        lacking = self._min_free_bytes - self._store.free_bytes() if self._min_free_bytes else 0
        if lacking > 0:
            self._shrink(index, lacking)

    def _evict(self, index: Index) -> None:
        """Down to the lower part of the cap, or further for an answer that needs more room than that leaves."""
        needed, self._needed_bytes = self._needed_bytes, 0
        used = self.usage.size_bytes
        if needed or used > self._cap_bytes * _HIGH:
            self._shrink(index, used - min(int(self._cap_bytes * _LOW), self._cap_bytes - needed))

    def _shrink(self, index: Index, excess_bytes: int) -> None:
        """Delete the least recently used entries, of so many bytes."""
        while excess_bytes > 0 and not self._is_stopping and (oldest := index.oldest(_BATCH)):
            failpoint.reach("cache_evicting")
            gone = []
            for name, size in oldest:
                if excess_bytes > 0:
                    self._store.remove(name)
                    gone.append(name)
                    excess_bytes -= size
            failpoint.reach("cache_evicted")
            index.remove(gone)
            self.evicted += len(gone)
            self._count(index)

    def _delete_purged(self, index: Index, record: Record) -> None:
        """Goes on in the next round where it takes long."""
        # Writes that had looked at the purges before this record came have noted their entries then.
        self._store.wait_for_naming()
        self._flush(index)
        ends_at = time.monotonic() + TICK_S / 2
        while names := index.of_prefix(record.prefix, record.epoch, _BATCH):
            if time.monotonic() > ends_at or self._is_stopping:
                self._wake.set()
                return
            for name in names:
                self._store.remove(name)
                self._unsynced.add(number_of(name))
            failpoint.reach("cache_purge_removing")
            index.remove(names)
            self._count(index)
        # A power cut may bring back a deleted file until its directory is synced.
        self._store.sync_directories(self._unsynced)
        self._unsynced.clear()
        failpoint.reach("cache_purge_removed")
        self._records.remove(record)

    def _walk_on(self, index: Index) -> None:
        if self._is_compared:
            return
        if self._walk is None:
            self._walk = self._walked(index)
        ends_at = time.monotonic() + TICK_S / 2
        for _ in self._walk:
            if time.monotonic() > ends_at or self._is_stopping:
                return
        self._walk, self._is_compared = None, True

    def _walked(self, index: Index) -> Iterator[None]:
        """A step for some directories."""
        started_at, found = time.monotonic(), 0
        for first in range(0, FAN, _WALKED_AT_ONCE):
            with index.transaction():
                for number in range(first, first + _WALKED_AT_ONCE):
                    found += self._compare(index, number)
            yield
        logs.event("cache_index_rebuilt", found=found, ms=(time.monotonic() - started_at) * 1000)

    def _compare(self, index: Index, number: int) -> int:
        """The number of entries of a directory that the index did not know, or knew of another size.

        No header is read: on a disk that has none of them in memory, a million would take minutes.
        """
        # In this order: an entry that comes in between has a note, which is written later.
        used = self._store.used(number)
        known = index.between(range_of(number))
        rows = [Row(name, *each) for name, each in used.items() if known.get(name) != each[0]]
        index.put(rows, known.keys() - used.keys())
        return len(rows)

    def _read_headers(self, index: Index) -> bool:
        """Learn the sources of entries that the walk has found; false: there are more."""
        ends_at = time.monotonic() + TICK_S / 2
        while unread := index.unread(_BATCH):
            found, gone = list[Row](), list[bytes]()
            for row in unread:
                header = self._header(row.name)
                if header is None:
                    gone.append(row.name)
                else:
                    found.append(msgspec.structs.replace(row, epoch=header.epoch, source=header.key.source))
            with index.transaction():
                index.put(found, gone)
            if time.monotonic() > ends_at or self._is_stopping:
                self._wake.set()
                return False
        return True

    def _header(self, name: bytes) -> Header | None:
        """None: the file is gone, or was damaged and is gone now."""
        try:
            return self._store.header(name)
        except Damaged:
            self._store.remove(name)
            return None

    def _close(self) -> None:
        if self._index is None:
            return
        index, self._index = self._index, None
        try:
            index.apply(self.notes.take()[0])
            index.set_whole(self._is_compared)
        finally:
            index.close()
