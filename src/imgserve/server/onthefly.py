"""The parts of GET on the fly, built from the settings: mounts, caches, and the story that uses them. For ``build``.

Without a mount there are none of them, and no directory is made.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from imgserve.api.hot import HotHits
from imgserve.api.http.network import Clients
from imgserve.api.images import ImageHandler
from imgserve.api.mounts import Mounted, Mounts
from imgserve.api.routes import Route
from imgserve.engine.cache.cache import Cache
from imgserve.engine.cache.freshness import Lifetimes
from imgserve.engine.config import FLOORS_SPARED, MountConfig, NegotiatingMountConfig
from imgserve.engine.get_config import GetConfig
from imgserve.engine.images import Images
from imgserve.engine.mount_version import version_of
from imgserve.engine.mounts import Mount
from imgserve.engine.ondemand import FETCH_PATIENCE_S, OnDemand
from imgserve.engine.originals import Originals
from imgserve.engine.pictures import NamedPictures
from imgserve.engine.purging import Purging
from imgserve.engine.render import Renderer
from imgserve.engine.renditions import Renditions
from imgserve.imaging.pool import Pool
from imgserve.jobs.protocol import PurgeQueue
from imgserve.request.dialects.dialect import Dialect
from imgserve.request.dialects.iiif.dialect import Iiif
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.dialects.sources import Sources
from imgserve.request.dialects.thumbor import dialect as thumbors
from imgserve.request.encode import Format
from imgserve.settings.tree import Settings
from imgserve.telemetry import logs
from imgserve.telemetry.states import State
from imgserve.transfer.dispatch import Transfers


class OnTheFly:
    def __init__(
        self,
        settings: Settings,
        transfers: Transfers,
        pool: Pool,
        renderer: Renderer,
        on_demand: OnDemand,
        named: NamedPictures,
        queue: PurgeQueue,
    ) -> None:
        config, within_s = settings.cache, settings.transfer.source_timeout_s + FETCH_PATIENCE_S
        self._settings = settings
        self._is_runner = settings.role == "runner"
        mounts = self.read(settings.get)
        self.is_on = bool(mounts)
        self._sources, self._pictures = _caches(settings)
        self.purging = Purging(self._sources, self._pictures, queue)
        self._lifetimes = Lifetimes(config.fresh_s, config.stale_while_revalidate_s, config.stale_if_error_s)
        originals = Originals(transfers, self._sources, self._lifetimes, config.negative_s, within_s)
        renditions = Renditions(pool, renderer, settings.limits, settings.intake.defaults(), within_s)
        self._images = Images(transfers, on_demand, originals, renditions, self._pictures, named)
        self._clients = Clients([ipaddress.ip_network(text, strict=False) for text in settings.get.trusted_proxies])
        self.hot = HotHits(config.memory_bytes)
        self.mounts = Mounts()
        self.replace(mounts)

    def read(self, config: GetConfig) -> tuple[Mount, ...]:
        """The mounts of the settings, which have no ``problems``. A runner has none: no client can ask it."""
        return () if self._is_runner else tuple(_mounts(config, self._settings))

    def replace(self, mounts: tuple[Mount, ...]) -> None:
        """From the next request on. A server that began without a mount has none until it is started again."""
        if bool(mounts) > self.is_on:
            detail = "no dialect was mounted at the start: the first one needs a restart"
            logs.event("mounts_ignored", level=logs.WARNING, detail=detail)
            return
        self.purging.mounts = mounts
        self.mounts.replace(self._mounted(mount) for mount in mounts)
        self.hot.clear()  # what was judged by the older ones

    def _mounted(self, mount: Mount) -> Mounted:
        handler = ImageHandler(mount, self._images, self.hot, self._lifetimes, self._clients)
        return Mounted(mount.config.path.rstrip("/").encode(), _route(mount), handler)

    async def open(self) -> None:
        """Hits are found from now on."""
        if self.is_on:
            await self._sources.open()
            await self._pictures.open()
            self.purging.open()

    async def close(self) -> None:
        if self.is_on:
            await self._images.drain()
            await self.purging.close()
            await self._pictures.close()
            await self._sources.close()

    def states(self) -> Iterator[State]:
        yield from self._sources.states()
        yield from self._pictures.states()
        yield from self._clients.states()


def _route(mount: Mount) -> Route:
    """IIIF's answers are for pages of every origin, by its own headers; others for those of the settings."""
    return Route("GET", mount.config.path, "open", None, (), has_cors=not mount.dialect.preflight())


def _caches(settings: Settings) -> tuple[Cache, Cache]:
    config, place = settings.cache, settings.cache.place(settings.data_dir)
    spared = settings.queue.min_free_disk_bytes * FLOORS_SPARED
    sources = Cache("sources", place / "sources", config.source_bytes, config.memory_bytes // 4, min_free_bytes=spared)
    pictures = Cache("pictures", place / "pictures", config.max_bytes, config.memory_bytes, min_free_bytes=spared)
    return sources, pictures


def _mounts(config: GetConfig, settings: Settings) -> Iterator[Mount]:
    """``settings`` are those of the start, of which only ``config`` is read again."""
    limits = settings.limits

    def mounted(mount: MountConfig, dialect: Dialect[Any], grammar: msgspec.Struct, default_scheme: str = "") -> Mount:
        is_open = not mount.sources and not mount.allow_unsigned
        sources = Sources.of(mount.sources, mount.names, mount.base_url, default_scheme=default_scheme, is_open=is_open)
        version = version_of(mount, grammar, limits, settings.pool, settings.intake.defaults())
        pictures = config.drawn_pictures(dialect.name)
        return Mount(dialect.name, dialect, sources, mount, version=version, pictures=pictures)

    imgproxy, thumbor, iiif = config.imgproxy, config.thumbor, config.iiif
    if imgproxy.mount.path:
        of_imgproxy = Imgproxy(imgproxy.grammar, allow_unsigned=imgproxy.mount.allow_unsigned)
        formats, takes_hints = _formats(imgproxy.mount), imgproxy.mount.has_client_hints
        mount = mounted(imgproxy.mount, of_imgproxy, imgproxy.grammar)
        yield msgspec.structs.replace(mount, formats=formats, takes_hints=takes_hints)
    if thumbor.mount.path:
        dialect = thumbors.of(thumbor.grammar, allow_unsigned=thumbor.mount.allow_unsigned)
        mount = mounted(thumbor.mount, dialect, thumbor.grammar, dialect.default_scheme)
        yield msgspec.structs.replace(mount, formats=_formats(thumbor.mount))
    if iiif.mount.path:
        place = iiif.mount.public_url or iiif.mount.path.rstrip("/")
        of_iiif = Iiif(iiif.grammar, allow_unsigned=iiif.mount.allow_unsigned, limits=limits, place=place)
        yield msgspec.structs.replace(mounted(iiif.mount, of_iiif, iiif.grammar), names_source=True)


def _formats(config: NegotiatingMountConfig) -> frozenset[Format]:
    return frozenset(cast(Sequence[Format], config.formats))
