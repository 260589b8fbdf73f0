"""One GET of a picture: the story, from what its URL asks for to the answer. Called by ``api/images``.

    judge the source · look into the cache · fetch, or ask whether it has changed · plan · render · keep · answer

Equal requests are one from the fetch to the answer. Before it each client network waits for a slot of its own, and the
first to have one fetches for all. A client that leaves ends it for itself alone, and the last one ends the render.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from imgserve.blob import Blob
from imgserve.engine.cache.cache import Cache
from imgserve.engine.cache.entry import Key, Meta, Validator
from imgserve.engine.cache.freshness import entity_tag, freshness, is_not_modified
from imgserve.engine.cache.memory import Hit
from imgserve.engine.mounts import Mount
from imgserve.engine.ondemand import OnDemand
from imgserve.engine.originals import Original, Originals
from imgserve.engine.pictures import NamedPictures
from imgserve.engine.renditions import Renditions
from imgserve.engine.served import Made, Served, State, Wanted
from imgserve.engine.turnflight import TurnFlight
from imgserve.errors import ImgserveError
from imgserve.imaging.faults import SourceUnreadable
from imgserve.request.dialects.canonical import canonical
from imgserve.request.dialects.dialect import Asked, Called, Described
from imgserve.request.source import Source
from imgserve.telemetry import gets, logs
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import CredentialNotAllowed, SourceNotFound, SourceTooLarge, SourceUnavailable

# Errors in whose place a mount may show a picture of its own.
_OF_SOURCE = (SourceNotFound, SourceUnavailable, SourceTooLarge, SourceUnreadable)


class Images:
    def __init__(
        self,
        transfers: Transfers,
        on_demand: OnDemand,
        originals: Originals,
        renditions: Renditions,
        cache: Cache,
        named: NamedPictures,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transfers = transfers
        self._on_demand = on_demand
        self._originals = originals
        self._renditions = renditions
        self._cache = cache
        self._named = named
        self._clock = clock
        self._under_way: TurnFlight[Made] = TurnFlight(partial(gets.joined, "render"))
        self._refreshing: dict[Key, asyncio.Task[None]] = {}

    def wanted(self, mount: Mount, asked: Asked[Any], plain: Asked[Any]) -> Wanted:
        """``plain`` is asked for by the same URL without any of the headers that a picture can be negotiated by.

        Raises RequestInvalid, SourceRefused, CredentialNotAllowed: this mount does not show it.
        """
        source = mount.source_of(asked.source)
        self._transfers.check_source(source)
        # Here, since the cache may have what another mount has fetched with the same credential.
        self._transfers.check_credential(source.sends, source.url, mount.principal.id)
        # The rendering is what the URL alone says, so that a purge of the URL finds what headers have made of it.
        rendering, variant = canonical(plain.parameters), mount.name
        if mount.names_source:
            variant = f"{variant} {asked.source}"
        if asked.parameters != plain.parameters:
            variant = f"{variant} {canonical(asked.parameters)}"
        return Wanted(mount, asked, source, Key(source.url, rendering, variant, self._engine(mount, source)))

    def _engine(self, mount: Mount, source: Source) -> str:
        """The settings that the picture depends on, as they are now. Raises CredentialNotAllowed."""
        identity = self._transfers.credentials.identity(source.sends, mount.principal.id, source.url)
        return " ".join(filter(None, (mount.version, self._named.version(mount.pictures), identity)))

    def _is_current(self, wanted: Wanted) -> bool:
        """Whether its settings are those of its key. After a reload it may show the new watermark under the older key,
        or the mount may have lost its credential.
        """
        try:
            return self._engine(wanted.mount, wanted.source) == wanted.key.engine
        except CredentialNotAllowed:
            return False

    def hit(self, wanted: Wanted) -> Hit | None:
        """A fresh picture that is in memory, at once, which the caller closes."""
        hit = self._cache.look_up(wanted.key)
        if hit is not None and freshness(hit.meta, self._clock()) != "fresh":
            hit.close()
            return None
        return hit

    async def served(self, wanted: Wanted, if_none_match: str, if_modified_since: str, client: str) -> Served:
        """``client``: the network of the one who asks, which has a quota.

        Raises the faults of mounts, transfers, pool and dialect.
        """
        self._on_demand.check_open()
        with gets.stage("cache"):
            hit = await self._cache.find(wanted.key)
        if hit is None:
            return await self._missed(wanted, if_none_match, if_modified_since, client)
        with contextlib.ExitStack() as held:
            held.enter_context(hit)
            state: State = "hit"
            match age := freshness(hit.meta, self._clock()):
                case "fresh":
                    pass
                case "stale":
                    self._refresh(wanted)
                    state = "stale"
                case _:
                    try:
                        # Where the older picture may be shown, it is better than a wait for a slot.
                        made = await self._made(wanted, client, is_older_there=True, may_wait=age == "expired")
                        return made.unless_known(if_none_match, if_modified_since)
                    except ImgserveError as error:
                        if freshness(hit.meta, self._clock()) != "error" or not _may_pass(error):
                            raise
                        logs.event("served_stale", code=error.code)
                        state = "stale"
            if is_not_modified(hit.meta, if_none_match, if_modified_since):
                return Served(hit.meta, None, state)
            held.pop_all()
            return Served(hit.meta, hit.body, state)

    async def described(self, wanted: Wanted, called: Called, client: str) -> tuple[Described, str]:
        """The description of a picture, from its source's header alone, and its ETag."""
        mount = wanted.mount
        async with self._on_demand.slot(mount.principal, wanted.source, client):
            with await self._original(wanted) as original:
                info = await self._renditions.info(original, mount.principal.id, mount.dialect.load)
                kept = await self._renditions.kept(mount, wanted.asked, original, info)
                described = mount.dialect.described(wanted.asked, info, called, kept)
                key = msgspec.structs.replace(
                    wanted.key,
                    variant=f"{wanted.key.variant} {called.base_url} {called.raw_path} {described.media_type}",
                )
                return described, entity_tag(key, original.meta.validator)

    async def raw(self, wanted: Wanted, if_none_match: str, if_modified_since: str, client: str) -> Served:
        """The source's own bytes, which the cache of sources alone has. Raises the faults of transfers and pool."""
        self._on_demand.check_open()
        mount = wanted.mount
        key = msgspec.structs.replace(wanted.key, rendering="", variant="raw")
        async with self._on_demand.slot(mount.principal, wanted.source, client):
            with await self._original(wanted) as original:
                meta = _renewed(Meta("", entity_tag(key, original.meta.validator), 0.0, 0.0), original)
                if is_not_modified(meta, if_none_match, if_modified_since):
                    return Served(meta, None, "known")
                media_type = await self._renditions.media_type(original, mount.principal.id)
                return Served(msgspec.structs.replace(meta, media_type=media_type), original.blob.share(), "raw")

    async def fallback(self, wanted: Wanted, error: ImgserveError, client: str) -> Served | None:
        """The mount's picture for a source that cannot be had, in the size that was asked for; None: it has none.

        Raises the faults of quotas, pool and dialect.
        """
        mount = wanted.mount
        if not mount.config.fallback or not isinstance(error, _OF_SOURCE):
            return None
        with self._named.share(mount.config.fallback) as blob:
            digest = blob.fingerprint().digest.hex()
            key = msgspec.structs.replace(
                wanted.key, source=f"picture:{mount.config.fallback}", variant=f"{wanted.key.variant} {digest}"
            )
            hit = await self._cache.find(key)
            if hit is not None:
                return Served(hit.meta, hit.body, "fallback", mount.config.fallback_status)

            begin = partial(self._make_fallback, wanted, key, client)
            made = await self._under_way.result((key, self._cache.generation_of(key)), client, begin)
        return Served(made.meta, made.blob, "fallback", mount.config.fallback_status)

    async def _make_fallback(self, wanted: Wanted, key: Key, client: str, begun: Callable[[], None]) -> Made:
        async with self._on_demand.slot(wanted.mount.principal, None, client):
            begun()
            with self._named.share(wanted.mount.config.fallback) as blob, self._cache.begin(key) as work:
                validator = Validator(digest=key.variant)
                original = Original(blob, Meta("", "", 0.0, 0.0, validator=validator))
                rendered = await self._renditions.of(wanted.mount, wanted.asked, original)
                meta = msgspec.structs.replace(rendered.meta, etag=entity_tag(key, validator), validator=validator)
                if self._is_current(wanted):
                    self._cache.store(work, rendered.blob, meta)
                return Made(meta, rendered.blob, "fallback")

    async def _missed(self, wanted: Wanted, if_none_match: str, if_modified_since: str, client: str) -> Served:
        if if_none_match:
            # The picture's tag follows from its source's: no render is needed to say that the client has it.
            known = await self._originals.known(wanted.source, wanted.mount)
            if known is not None:
                meta = msgspec.structs.replace(known, etag=entity_tag(wanted.key, known.validator))
                if is_not_modified(meta, if_none_match, ""):
                    return Served(meta, None, "known")
        return (await self._made(wanted, client)).unless_known(if_none_match, if_modified_since)

    async def _made(
        self, wanted: Wanted, client: str, *, is_older_there: bool = False, may_wait: bool = True
    ) -> Served:
        begin = partial(self._make, wanted, client, is_older_there, may_wait)
        key, group = (wanted.key, self._cache.generation_of(wanted.key)), (client, may_wait)
        made = await self._under_way.result(key, group, begin)
        return Served(made.meta, made.blob, made.state)

    async def _make(
        self, wanted: Wanted, client: str, is_older_there: bool, may_wait: bool, begun: Callable[[], None]
    ) -> Made:
        mount, source = wanted.mount, wanted.source
        async with self._on_demand.slot(mount.principal, source, client, may_wait=may_wait):
            begun()
            with self._cache.begin(wanted.key) as work, await self._original(wanted) as original:
                state: State
                etag = entity_tag(wanted.key, original.meta.validator)
                unchanged = await self._unchanged(wanted.key, etag) if is_older_there else None
                if unchanged is not None:
                    with unchanged:
                        blob, state = await asyncio.to_thread(_blob_of, unchanged), "revalidated"
                        meta = _renewed(unchanged.meta, original)
                else:
                    rendered, state = await self._renditions.of(mount, wanted.asked, original), "made"
                    blob, meta = rendered.blob, _renewed(msgspec.structs.replace(rendered.meta, etag=etag), original)
                if self._is_current(wanted):
                    self._cache.store(work, blob, meta)
                return Made(meta, blob, state)

    async def _original(self, wanted: Wanted) -> Original:
        """The source, which the caller closes. Raises the transfer's faults."""
        original = await self._originals.get(wanted.source, wanted.mount)
        most, size = wanted.asked.max_source_bytes, original.blob.size
        if 0 < most < size:
            original.close()
            raise SourceTooLarge(f"the source has {size} bytes, at most {most} are shown here")
        return original

    async def _unchanged(self, key: Key, etag: str) -> Hit | None:
        """The stale picture of a source that has not changed since."""
        hit = await self._cache.find(key)
        if hit is not None and (not etag or hit.meta.etag != etag):
            hit.close()
            return None
        return hit

    def _refresh(self, wanted: Wanted) -> None:
        """Make it anew in the background, once."""
        if wanted.key not in self._refreshing:
            task = self._refreshing[wanted.key] = asyncio.create_task(self._refreshed(wanted))
            task.add_done_callback(lambda _: self._refreshing.pop(wanted.key))

    async def _refreshed(self, wanted: Wanted) -> None:
        gets.part_from_here()
        try:
            (await self._made(wanted, "", is_older_there=True)).close()
        except ImgserveError as error:
            logs.event("refresh_failed", code=error.code)

    async def drain(self) -> None:
        """End what is refreshed in the background."""
        await _ended(self._refreshing.values())


async def _ended(tasks: Any) -> None:
    running = [*tasks]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)


def _renewed(meta: Meta, original: Original) -> Meta:
    """With the times of its source, by which it is asked for again."""
    of_source = original.meta
    return msgspec.structs.replace(
        meta,
        stored_at_s=of_source.stored_at_s,
        fresh_until_s=of_source.fresh_until_s,
        stale_until_s=of_source.stale_until_s,
        error_until_s=of_source.error_until_s,
        validator=of_source.validator,
        last_modified_s=of_source.last_modified_s,
        is_private=of_source.is_private,
    )


def _blob_of(hit: Hit) -> Blob:
    return Blob.of(hit.body) if isinstance(hit.body, bytes) else hit.body.blob()


def _may_pass(error: ImgserveError) -> bool:
    """Whether a picture from before is better than this error: it is the source's host, or this server's load."""
    return error.is_retryable or error.code.startswith("source_un")
