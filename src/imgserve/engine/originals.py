"""The sources of GETs: fetched once for all that ask at the same time, cached, and asked for again when it is due.

In: a judged ``Source``. Out: its bytes with the validator that identifies them. Called by ``images``.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Self

import msgspec

from imgserve.blob import Blob
from imgserve.engine.cache.body import READ_BYTES
from imgserve.engine.cache.cache import Cache
from imgserve.engine.cache.entry import Key, Meta, Validator
from imgserve.engine.cache.freshness import Lifetimes, freshness, stamped
from imgserve.engine.cache.memory import Hit
from imgserve.engine.cache.purge import Work
from imgserve.engine.mounts import Mount
from imgserve.engine.singleflight import SingleFlight
from imgserve.engine.source_lifetime import fresh_s, is_private, modified_s
from imgserve.errors import ImgserveError
from imgserve.request.source import Source
from imgserve.request.urlprefix import UrlPrefix
from imgserve.telemetry import gets
from imgserve.telemetry.stage import stage
from imgserve.transfer.digest import sha256_of
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import SourceNotFound, SourceRefused, SourceTooLarge, SourceUnavailable
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.version import UNKNOWN, Version

# Errors that are remembered for seconds: the source itself is at fault, not this server's load.
_OF_SOURCE = (SourceNotFound, SourceRefused, SourceTooLarge, SourceUnavailable)
_MOST_ERRORS = 10_000
# In the header of a cached source, which has the source's own URL too. Honest redirects have a hundred characters.
_MOST_HOPS_LENGTH = 8_000
# A source, the generation of its purges, and the places that its redirects may lead to.
_Flight = tuple[Key, tuple[int, int], tuple[UrlPrefix, ...]]


class Original(msgspec.Struct, frozen=True):
    """A handle of a source's bytes, which its owner closes. ``meta`` has validator and times.

    ``generation``: that of the source's purges when it was asked for.
    """

    blob: Blob
    meta: Meta
    source: str = ""
    generation: tuple[int, int] = (0, 0)

    @property
    def identity(self) -> Hashable:
        """Equal for equal bytes. Without a digest that is the word of the source's host, which a purge overrules."""
        validator = self.meta.validator
        return validator.digest or (self.source, validator.etag, self.generation)

    def share(self) -> "Original":
        return msgspec.structs.replace(self, blob=self.blob.share())

    def close(self) -> None:
        self.blob.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Originals:
    """``lifetimes``: how long a source is used without being asked for, where its server does not say."""

    def __init__(
        self,
        transfers: Transfers,
        cache: Cache,
        lifetimes: Lifetimes,
        negative_s: float,
        within_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transfers = transfers
        self._cache = cache
        self._lifetimes = lifetimes
        self._negative_s = negative_s
        self._within_s = within_s
        self._clock = clock
        self._under_way: SingleFlight[Original] = SingleFlight(partial(gets.joined, "fetch"))
        self._errors: OrderedDict[_Flight, tuple[float, ImgserveError]] = OrderedDict()

    def key_of(self, source: Source, mount: Mount) -> Key:
        """Raises CredentialNotAllowed."""
        credentials = self._transfers.credentials
        return Key(source.url, variant=credentials.identity(source.sends, mount.principal.id, source.url))

    async def known(self, source: Source, mount: Mount) -> Meta | None:
        """None if the bytes have to be read. For answers that need none. Raises for a file as ``get`` does."""
        if not source.origin:
            version = await self._transfers.files.version_of(source)
            return self._meta(Validator(version.etag, version.modified), version)
        hit = await self._found(self.key_of(source, mount), mount)
        if hit is None:
            return None
        with hit:
            return hit.meta if freshness(hit.meta, self._clock()) == "fresh" else None

    async def get(self, source: Source, mount: Mount) -> Original:
        """The bytes, which the caller closes. Raises the transfer's faults."""
        key = self.key_of(source, mount)
        # One that was asked for after a purge gets no bytes from before it.
        generation = self._cache.generation_of(key)
        flight = (key, generation, mount.sources.listed)
        self._raise_known(flight)
        if (original := self._at_once(source, generation)) is not None:
            return original

        def begin() -> asyncio.Task[Original]:
            return asyncio.create_task(self._got(key, source, mount))

        try:
            original = await self._under_way.result(flight, begin)
        except _OF_SOURCE as error:
            self._remember(flight, error)
            raise
        return msgspec.structs.replace(original, generation=generation)

    def _at_once(self, source: Source, generation: tuple[int, int]) -> Original | None:
        """A small file, if that needs no wait: the next request reads it as quickly. Raises SourceRefused."""
        started = time.perf_counter()
        read = self._transfers.read_at_once(source)
        if read is None:
            return None
        blob, version = read
        stage("fetch", is_outer=True).passed(started)
        return Original(blob, self._meta(Validator(version.etag, version.modified), version), source.url, generation)

    async def _got(self, key: Key, source: Source, mount: Mount) -> Original:
        with self._cache.begin(key) as work:
            # To read a file again takes no longer than to read a copy of it.
            hit = await self._found(key, mount) if source.origin else None
            if hit is None:
                return await self._fetched(work, source, mount, None)
            with hit:
                if freshness(hit.meta, self._clock()) == "fresh":
                    return await self._of_hit(hit, hit.meta)
                return await self._fetched(work, source, mount, hit)

    async def _found(self, key: Key, mount: Mount) -> Hit | None:
        """The cached source, if this mount's list admits the redirects that led to it. Another list may admit more."""
        with gets.stage("cache"):
            hit = await self._cache.find(key)
        if hit is not None and not all(map(mount.sources.admits, hit.meta.hops)):
            hit.close()
            return None
        return hit

    async def _fetched(self, work: Work, source: Source, mount: Mount, hit: Hit | None) -> Original:
        held = UNKNOWN if hit is None else _version(hit.meta)
        with self._transfers.open(
            source, within_s=self._within_s, principal=mount.principal.id, held=held, follows=mount.sources.admits
        ) as fetch:
            with stage("fetch", is_outer=True):
                blob = await fetch.finish()
            if fetch.is_unchanged and hit is not None:
                meta = self._stamped(hit.meta, fetch.version, fetch.hops)
                original = await self._of_hit(hit, meta)
            else:
                validator = Validator(fetch.version.etag, fetch.version.modified)
                if not validator.is_strong:
                    validator = msgspec.structs.replace(validator, digest=(await sha256_of(blob)).hex())
                meta = self._meta(validator, fetch.version, fetch.hops)
                original = Original(blob.share(), meta, source.url)
        is_used_again = meta.fresh_until_s > meta.stored_at_s or _version(meta).is_known
        if is_used_again and source.origin and sum(map(len, meta.hops)) <= _MOST_HOPS_LENGTH:
            self._cache.store(work, original.blob, meta)
        return original

    def _meta(self, validator: Validator, version: Version, hops: Sequence[str] = ()) -> Meta:
        return self._stamped(Meta("application/octet-stream", "", 0.0, 0.0, validator=validator), version, hops)

    def _stamped(self, meta: Meta, version: Version, hops: Sequence[str]) -> Meta:
        now_s = self._clock()
        # Lists name no queries, in which there may be signatures.
        meta = msgspec.structs.replace(
            meta,
            hops=tuple(hop.partition("?")[0] for hop in hops),
            is_private=is_private(version),
            cache_control=version.cache_control,
        )
        lifetime_s = fresh_s(version, now_s)
        lifetimes = self._lifetimes
        if lifetime_s is not None:
            lifetimes = msgspec.structs.replace(lifetimes, fresh_s=lifetime_s)
        changed_s = modified_s(version, now_s)
        if changed_s is not None:
            meta = msgspec.structs.replace(meta, last_modified_s=changed_s)
        return stamped(meta, now_s, lifetimes)

    async def _of_hit(self, hit: Hit, meta: Meta) -> Original:
        """A copy of the bytes, counted as those of a download are."""

        async def copy(into: Fetch) -> None:
            await into.reserve(hit.size_bytes)
            if isinstance(hit.body, bytes):
                into.write(hit.body)
                return
            position = 0
            while position < hit.size_bytes:
                piece = await asyncio.to_thread(hit.body.read, READ_BYTES, position)
                if not piece:
                    raise SourceUnavailable("The cached source could not be read", is_retryable=True)
                position += len(piece)
                into.write(piece)

        with gets.stage("cache"), self._transfers.receive(copy) as fetch:
            return Original((await fetch.finish()).share(), meta, hit.header.key.source)

    def _raise_known(self, flight: _Flight) -> None:
        """Raises the error of a moment ago."""
        until_s, error = self._errors.get(flight, (0.0, None))
        if error is None:
            return
        if self._clock() < until_s:
            raise error.at(error.path)
        del self._errors[flight]

    def _remember(self, flight: _Flight, error: ImgserveError) -> None:
        if flight not in self._errors and self._negative_s:
            # A copy: the one that is raised holds the frames of its requests, with their connections.
            self._errors[flight] = (self._clock() + self._negative_s, error.at(error.path))
            if len(self._errors) > _MOST_ERRORS:
                self._errors.popitem(last=False)


def _version(meta: Meta) -> Version:
    """What a 304 has to tell again only where it has changed."""
    return Version(meta.validator.etag, meta.validator.last_modified, meta.cache_control)
