"""Purges of the caches of GETs: by clients, by other servers of the queue, and by deliveries of jobs.

The cache of sources is purged first: else a picture could be made anew from the older source.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from imgserve.engine.cache.cache import Cache, PurgeFailed
from imgserve.engine.cache.purge import OfPrefix, OfRendering, OfSource, Scope
from imgserve.engine.cache.stats import CacheStats
from imgserve.engine.mounts import Mount, located
from imgserve.jobs.protocol import PurgeQueue
from imgserve.jobs.purge import Purge
from imgserve.request.destination import Destination
from imgserve.request.dialects.canonical import canonical
from imgserve.request.dialects.dialect import Negotiable, UrlRefused
from imgserve.request.dialects.sources import canonical_url, sources_at
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.telemetry import logs

# A delivery waits no longer for the cache's disk. Its purge goes on.
DELIVERY_WAITS_S = 5.0


class Purged(msgspec.Struct, frozen=True):
    """The pictures, and the cached sources, that were removed at once on the server that answers. ``deleting``: files
    of further ones are still being deleted; none of them is sent any more.
    """

    purged: int = 0
    sources: int = 0
    deleting: bool = False


class Purging:
    """``mounts`` are those of now. Until ``open`` it only tells other servers what is to be purged."""

    def __init__(self, sources: Cache, pictures: Cache, queue: PurgeQueue) -> None:
        self._sources, self._pictures = sources, pictures
        self._queue = queue
        self._is_open = False
        self._tasks: set[asyncio.Task[Purged]] = set()
        self.mounts: Sequence[Mount] = ()

    def open(self) -> None:
        """The caches are open. Purges of other servers before this moment are not known."""
        self._is_open = True
        self._queue.when_purged(self._begin, self._distrust)

    def stats(self) -> tuple[tuple[str, ...], CacheStats, CacheStats]:
        """The names of the mounts, without which nothing is cached; of the pictures; of their sources."""
        return tuple(mount.name for mount in self.mounts), self._pictures.stats(), self._sources.stats()

    def of_source(self, text: str) -> Purge:
        """All pictures of a source. Raises RequestInvalid."""
        return Purge(canonical_url(text))

    def of_prefix(self, text: str) -> Purge:
        """All pictures of sources whose URL begins so. Raises RequestInvalid: it is no whole scheme and host."""
        return Purge(canonical_url(text), is_prefix=True)

    def of_url(self, text: str) -> Purge:
        """The picture that a URL of a mount shows, whatever the client's headers. Raises RequestInvalid."""
        mount, raw_path = located(self.mounts, text)
        try:
            asked = mount.dialect.parse(raw_path, Negotiable(), 0.0, needs_signature=False)
        except UrlRefused as error:
            note = f"expected a URL of the dialect {mount.name}: {error.detail}"
            raise RequestInvalid(Fault("field_invalid", note=note)) from None
        return Purge(mount.source_of(asked.source).url, canonical(asked.parameters))

    async def purge(self, purge: Purge) -> Purged:
        """On this server, and soon on the others of the queue. Raises PurgeFailed."""
        self._queue.tell_purge(purge)
        purged = await self._purge_here(purge)
        logs.event("cache_purged", purged=purged.purged, sources=purged.sources)
        return purged

    async def delivered(self, destination: Destination) -> None:
        """A file was written or deleted there, or may have been: pictures of it are not right any more."""
        if not self._is_open and not self._queue.tells_purges:
            return
        purges = [Purge(source) for source in sorted(sources_at(destination))]
        for purge in purges:
            self._queue.tell_purge(purge)
        if self._is_open and purges:
            await asyncio.wait([self._begin(purge) for purge in purges], timeout=DELIVERY_WAITS_S)

    async def close(self) -> None:
        """Return when the purges that have begun have ended. The caches can be closed then.

        Later ones are missed, as by all servers that do not run: the next start trusts nothing that is cached.
        """
        self._is_open = False
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, purge: Purge) -> asyncio.Task[Purged]:
        task = asyncio.create_task(self._logged(purge))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _logged(self, purge: Purge) -> Purged:
        try:
            return await self._purge_here(purge)
        except PurgeFailed as error:
            logs.event("purge_failed", level=logs.WARNING, detail=error.detail)
            return Purged()

    async def _purge_here(self, purge: Purge) -> Purged:
        if not self._is_open:
            return Purged()
        of_sources, of_pictures = _scopes(purge)
        try:
            sources = await self._sources.purge(of_sources)
        finally:  # what can go goes
            purged = await self._pictures.purge(of_pictures)
        is_deleting = purge.is_prefix and bool(self._sources.stats().purging or self._pictures.stats().purging)
        return Purged(purged, sources, is_deleting)

    def _distrust(self) -> None:
        """Purges of other servers may have been missed until now."""
        logs.event("cache_distrusted", detail="purges of other servers may have been missed")
        self._sources.distrust()
        self._pictures.distrust()


def _scopes(purge: Purge) -> tuple[Scope, Scope]:
    """Of the sources, and of the pictures."""
    if purge.is_prefix:
        return OfPrefix(purge.source), OfPrefix(purge.source)
    if purge.rendering:
        return OfSource(purge.source), OfRendering(purge.source, purge.rendering)
    return OfSource(purge.source), OfSource(purge.source)
