"""A cache of whole answers: memory in front of a directory, both capped in bytes. For renditions, and for sources.

    hit = cache.look_up(key) or await cache.find(key)     # memory, at once; then the disk
    with cache.begin(key) as work:                        # before the source is fetched
        ... fetch, render ...
        cache.store(work, picture, meta)                  # in memory at once, on the disk soon
    await cache.purge(OfSource(url))                      # from now on no older picture is sent or stored

A trouble of the disk costs hits, never an answer: nothing here raises it but ``purge``. Whether a hit is fresh is for
``freshness`` to say. On the event loop; files are read and written in threads.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import msgspec

from imgserve.blob import Blob
from imgserve.engine.cache.body import OpenBody
from imgserve.engine.cache.entry import Damaged, Header, Key, Meta
from imgserve.engine.cache.health import PAUSE_S, Health
from imgserve.engine.cache.memory import Hit, Memory, hit_of
from imgserve.engine.cache.purge import (
    Generations,
    OfPrefix,
    OfRendering,
    OfSource,
    Records,
    Scope,
    UnderWay,
    Work,
    is_refused,
)
from imgserve.engine.cache.stats import CacheStats
from imgserve.engine.cache.store import Store
from imgserve.engine.cache.upkeep import Upkeep
from imgserve.engine.cache.writes import Writes
from imgserve.errors import ImgserveError, cause_of
from imgserve.telemetry import logs
from imgserve.telemetry.states import State

T = TypeVar("T")

_THREADS = 4
# The use of an entry in memory is noted once in so long: the index need not know it better.
_NOTED_EVERY_S = 60.0
# Larger bodies are sent from their file, so that slow clients hold none of them in memory.
_MAX_BYTES_BODY = 1_048_576


class PurgeFailed(ImgserveError):
    code = "purge_failed"
    status = 503
    is_retryable = True
    title = "Cached pictures could not be purged"


class Cache:
    """``name`` is for logs and states. A negative entry, of a status that is no success, is in memory only.

    A ``cap_bytes`` of 0, or no ``directory``: all is in memory only. ``min_free_bytes`` stay free on the disk, for
    others: entries are given up for them. After an error of the disk nothing is written for ``pause_s``.
    """

    def __init__(
        self,
        name: str,
        directory: Path | None,
        cap_bytes: int,
        memory_bytes: int,
        min_free_bytes: int = 0,
        clock: Callable[[], float] = time.time,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._clock = clock
        self._cap_bytes = cap_bytes if directory is not None else 0
        self._memory = Memory(memory_bytes)
        self._under_way = UnderWay()
        self._health = Health(name, time.monotonic, pause_s)
        self._store = Store(directory or Path())
        self._records = Records(directory or Path())
        self.upkeep = Upkeep(name, self._store, self._records, self._health, cap_bytes, min_free_bytes)
        self._pool = ThreadPoolExecutor(_THREADS, f"imgserve-cache-{name}")
        self._writes = Writes(self._store, self._records, self._health, self.upkeep, self._pool, clock)
        self._is_closing = False
        self._trusted_from_s = 0.0
        self._generations = Generations()
        self._memory_hits = self._disk_hits = self._misses = self._stored = self._damaged = 0

    @property
    def _has_disk(self) -> bool:
        return self.upkeep.is_open and not self._is_closing

    async def open(self) -> None:
        """Hits are found from now on; what the index is for is made ready in the background."""
        if self._cap_bytes:
            await asyncio.to_thread(self.upkeep.start)

    async def close(self) -> None:
        """Return when all that was stored is written, and the index with it."""
        self._is_closing = True
        await self.written()
        await asyncio.to_thread(self._pool.shutdown)
        if self._cap_bytes:
            await asyncio.to_thread(self.upkeep.stop)

    async def written(self) -> None:
        """Return when the answers that were stored until now are on the disk."""
        await self._writes.ended()

    def look_up(self, key: Key) -> Hit | None:
        """From memory alone, at once. An answer that is being written is there too."""
        hit = self._memory.get(key)
        if hit is not None:
            now_s = self._clock()
            if now_s - hit.used_at_s > _NOTED_EVERY_S:
                hit.used_at_s = now_s
                self._store.notes.used(key.name, int(now_s))
        else:
            hit = self._writes.hit(key)
        self._memory_hits += hit is not None
        return hit

    async def find(self, key: Key) -> Hit | None:
        """From memory or from the disk; None is a miss. The caller closes the hit."""
        if (hit := self.look_up(key)) is not None:
            return hit
        # A file of a key in ``_writes`` is about to go.
        if not self._has_disk or key in self._writes or self._store.lacks(key.name):
            self._misses += 1
            return None
        with self._under_way.held(self._under_way.begin_reading(key)) as work:
            found = await self._run(lambda: self._read(key), _close)
            if found is None or work.is_void:
                _close(found)
                hit = self.look_up(key)  # one that was stored meanwhile
                self._misses += hit is None
                return hit
            self._disk_hits += 1
            self._memory.put(found)
            return found

    def generation_of(self, key: Key) -> tuple[int, int]:
        """Another one after each purge that covers the key."""
        return self._generations.of(key)

    def begin(self, key: Key) -> AbstractContextManager[Work]:
        """The making of a picture, from before its source is fetched until it was stored or has failed.

        ``Work.is_void`` while it lasts: the source was purged meanwhile. The picture may still be sent to those who
        asked before the purge. ``generation_of`` changes with it: work that began in another one must not be
        shared with requests that come now.
        """
        return self._under_way.held(self._under_way.begin(key, self._records.epoch))

    def store(self, work: Work, picture: bytes | Blob, meta: Meta) -> None:
        """Keep an answer. A blob stays the caller's. An older answer of the key is gone, whatever happens."""
        if work.is_void:
            return
        self._under_way.void_older(work)
        header = Header(work.key, meta, work.epoch)
        body: bytes | Blob = picture
        if isinstance(picture, Blob):
            body = picture.read() if picture.size <= _MAX_BYTES_BODY else picture
        self._memory.drop(work.key)
        if isinstance(body, bytes):
            self._memory.put(hit_of(header, body, self._clock()))
        self._stored += 1
        if self._has_disk:
            self._under_way.hold(work)
            self._writes.add(work, header, body).add_done_callback(lambda _: self._under_way.release(work))

    async def purge(self, scope: Scope) -> int:
        """Return when no older picture that the scope covers will be sent or stored any more, whatever happens. Its
        result is the number of entries that were deleted at once; those of a prefix are deleted later.

        Purge the cache of sources first: else a rendition could be made anew from the older source. Raises PurgeFailed.
        """
        self._generations.purged(scope)
        try:
            if self._cap_bytes:
                self._check_open()
            removed = await (self._purge_prefix(scope) if isinstance(scope, OfPrefix) else self._purge_names(scope))
        except OSError as error:
            cause, hint = cause_of(error, "the server's user")
            raise PurgeFailed(f"the cached pictures could not be deleted: {cause}", hint) from error
        finally:
            self._void(scope)
        return removed

    async def _purge_prefix(self, scope: OfPrefix) -> int:
        # First the record: work that begins after it has the new epoch. A purge that is cancelled meanwhile leaves it
        # in force, and the next start deletes its files.
        epoch = await self._run(lambda: self._records.add(scope.prefix)) if self._cap_bytes else 0
        removed = self._void(scope)
        self._records.marked(epoch)
        self.upkeep.wake()
        return removed

    async def _purge_names(self, scope: OfSource | OfRendering) -> int:
        removed = self._void(scope)
        if self._cap_bytes:
            # What is read from the disk meanwhile is made void by the caller.
            removed = max(removed, await self._run(lambda: self._store.remove_all(scope.name_prefix())))
        return removed

    def distrust(self) -> None:
        """Purges may have been missed until now: all answers of before are fresh no longer, and no older picture is
        stored. Their sources are asked whether they have changed.
        """
        self._generations.purged(OfPrefix(""))
        self._trusted_from_s = self._clock()
        self._void(OfPrefix(""))

    def states(self) -> Iterator[State]:
        yield from self._health.states()

    def stats(self) -> CacheStats:
        usage = self.upkeep.usage
        return CacheStats(
            entries=usage.entries,
            size_bytes=usage.size_bytes,
            cap_bytes=self._cap_bytes,
            is_whole=usage.is_whole or not self._cap_bytes,
            memory_entries=len(self._memory),
            memory_bytes=self._memory.size_bytes,
            memory_cap_bytes=self._memory.cap_bytes,
            memory_hits=self._memory_hits,
            disk_hits=self._disk_hits,
            misses=self._misses,
            stored=self._stored,
            skipped=self._writes.skipped,
            damaged=self._damaged,
            evicted=self.upkeep.evicted,
            failures=self._health.failures,
            purging=len(self._records.pending),
        )

    def _check_open(self) -> None:
        """Raises PurgeFailed: entries that this server cannot see may be there."""
        if not self.upkeep.is_open:
            raise PurgeFailed("the cache's directory could not be opened", "see the states of the server")

    def _void(self, scope: Scope) -> int:
        self._under_way.void(scope)
        return self._memory.purge(scope)

    def _read(self, key: Key) -> Hit | None:
        """In a thread."""
        name = key.name
        # Before the file is opened: a record goes when its files are gone, which one of them may still be open here.
        records = self._records.pending
        found = None
        with self._health.watched():
            try:
                found = self._store.read(name, _MAX_BYTES_BODY)
            except Damaged as damage:
                logs.event("cache_entry_damaged", level=logs.WARNING, entry=name.hex(), detail=str(damage))
                self._damaged += 1
                self._store.remove(name)
        if found is None:
            return None
        header, body = found
        if header.key != key or is_refused(header, records):
            _close(body)
            return None
        now_s = self._clock()
        self._store.notes.used(name, int(now_s))
        if header.meta.stored_at_s < self._trusted_from_s:
            header = msgspec.structs.replace(header, meta=_distrusted(header.meta))
        return hit_of(header, body, now_s)

    async def _run(self, work: Callable[[], T], discard: Callable[[T], object] = lambda _: None) -> T:
        """``discard`` gets a result that nobody waits for any more."""
        future: Future[T] = self._pool.submit(work)
        try:
            return await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            future.add_done_callback(lambda ended: None if ended.exception() else discard(ended.result()))
            raise


def _distrusted(meta: Meta) -> Meta:
    """It may still be sent while its source cannot be asked, for as long as before."""
    return msgspec.structs.replace(meta, fresh_until_s=0.0, stale_until_s=0.0)


def _close(found: object) -> None:
    if isinstance(found, Hit | OpenBody):
        found.close()
