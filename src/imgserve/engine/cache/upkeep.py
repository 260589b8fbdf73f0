"""The thread that keeps a cache's directory within its cap: it writes the index, evicts the least recently used,
deletes what a prefix purge covers, and has the index rebuilt where it was lost.

    open the directory ── open the index ── [rebuild a part] ── flush notes ── evict ── delete purged ── wait
"""

import threading
import time
from collections.abc import Callable, Collection

import msgspec

from imgserve import failpoint
from imgserve.engine.cache.health import Health
from imgserve.engine.cache.index import INDEX_LOST, Index, IndexFault, cause_of_fault, remove_index, take_over
from imgserve.engine.cache.purge import Record, Records
from imgserve.engine.cache.rebuild import Rebuild
from imgserve.engine.cache.store import Store
from imgserve.telemetry import logs

# Notes are at most so old when they get into the index.
TICK_S = 1.0
# Above the first part of the cap entries are evicted, down to the second one: in batches, so that it is not for each.
_HIGH, _LOW = 0.95, 0.90
_BATCH = 2000
# An answer that is a larger part of the cap than this gets no room made for it.
_MAX_PART = 4


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
        self._notes = store.notes
        self.usage = Usage()
        self.is_open = False
        self.evicted = 0
        self._index: Index | None = None
        self._needed_bytes = 0
        self._rebuild = Rebuild(store)
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

    def has_room(self, size_bytes: int, waiting_bytes: int) -> bool:
        """Whether an answer of this size may be written besides those that wait. If not, room is made for the next."""
        used = self.usage.size_bytes + self._notes.added_bytes + waiting_bytes
        if used + size_bytes <= self._cap_bytes:
            return True
        if size_bytes <= self._cap_bytes // _MAX_PART:
            self._needed_bytes = max(self._needed_bytes, size_bytes)
            self._wake.set()
        return False

    @property
    def is_idle(self) -> bool:
        """Nothing has happened since the last round ended well."""
        return self._is_done and not self._wake.is_set() and self._notes.is_empty

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
            # A rebuild goes on at once.
            if self._rebuild.is_whole or not self._health.may_write:
                self._wake.wait(TICK_S)
        self._guarded(self._close)
        self._store.close()

    def _guarded(self, work: Callable[[], None]) -> bool:
        """Whether it went well."""
        try:
            with self._health.watched():
                work()
                return True
        except INDEX_LOST as error:
            self._replace_index(str(error))
        except IndexFault as error:
            self._health.failed("index", *cause_of_fault(error))
            self._distrust_index()
        return False

    def _turn(self) -> Callable[[], bool]:
        """Whether a step that takes long is to go on in the next round."""
        ends_at = time.monotonic() + TICK_S / 2
        return lambda: time.monotonic() > ends_at or self._is_stopping

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
            if not self._rebuild.is_hindered:
                self._health.worked("entries")
        try:
            self._rebuild.go_on(index, self._turn())
        finally:  # where a directory cannot be listed, the cap holds for what is known
            self._flush(index)
            self._evict(index)
        records = self._records.deletable
        if records and self.usage.is_whole:
            self._delete_purged(index, records)
        if not self._store.delete_old(self._turn()):
            self._wake.set()

    def _open(self) -> None:
        self._store.open()
        try:
            # Before an entry is written or set aside: if this server ends then, the index is not trusted by the next.
            is_whole = take_over(self._store.directory)
            if not self._records.load():
                self._store.set_aside()
                self._records.reset()
                is_whole = False
            self._rebuild.begin(is_whole=is_whole)
            self.is_open = True
        finally:
            if not self.is_open:
                self._store.close()
        self._wake.set()
        self._health.worked("entries")

    def _open_index(self) -> Index:
        if self._index is None:
            self._index = Index(self._store.directory)
            if self._index.is_new:
                self._rebuild.begin(is_whole=False)
            self._count(self._index)
        return self._index

    def _distrust_index(self) -> None:
        """Notes were lost: compare it with the directories."""
        self._rebuild.begin(is_whole=False)
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
        notes, added_bytes, is_whole = self._notes.take()
        if not is_whole:
            self._distrust_index()
        try:
            index.apply(notes)
            failpoint.reach("cache_noted")
            self._count(index)
        finally:
            self._notes.counted(added_bytes)
        self._health.worked("index")

    def _count(self, index: Index) -> None:
        self.usage = Usage(*index.totals(), self._rebuild.is_whole)

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
        """Delete the least recently used entries, of so many bytes. Goes on in the next round where it takes long."""
        is_over = self._turn()
        while excess_bytes > 0 and (oldest := index.oldest(_BATCH)):
            if is_over():
                self._wake.set()
                return
            failpoint.reach("cache_evicting")
            names = list[bytes]()
            for name, size in oldest:
                if excess_bytes > 0:
                    names.append(name)
                    excess_bytes -= size
            self.evicted += self._store.remove_many(names)
            failpoint.reach("cache_evicted")
            self._flush(index)

    def _delete_purged(self, index: Index, records: Collection[Record]) -> None:
        """Goes on in the next round where it takes long."""
        is_over = self._turn()
        if not self._rebuild.read_headers(index, is_over):
            self._wake.set()
            return
        # Writes that had looked at the purges before these records came have noted their entries then.
        self._store.wait_for_naming()
        self._flush(index)
        for record in records:
            while names := index.of_prefix(record.prefix, record.epoch, _BATCH):
                if is_over():
                    self._wake.set()
                    return
                self._store.remove_many(names)
                failpoint.reach("cache_purge_removing")
                self._flush(index)
        if self._rebuild.is_whole:  # else notes were lost meanwhile
            self._store.sync()
            failpoint.reach("cache_purge_removed")
            self._records.remove(records)

    def _close(self) -> None:
        if self._index is None:
            return
        index, self._index = self._index, None
        is_whole = False
        try:
            self._flush(index)
            is_whole = self._rebuild.is_whole
        finally:
            index.close(is_whole=is_whole)
