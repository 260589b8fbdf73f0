"""Sources and a rendering in, the finished picture out. Jobs and GETs share this way to it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Self

import msgspec

from imgserve import failpoint
from imgserve.blob import Blob
from imgserve.engine.pictures import Inputs, NamedPictures, Pictures
from imgserve.engine.singleflight import SingleFlight
from imgserve.errors import ImgserveError
from imgserve.imaging.messages import Written
from imgserve.imaging.pool import Pool
from imgserve.request import further
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.imageref import ImageRef
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from imgserve.request.source import Source
from imgserve.request.warning import OutputWarning
from imgserve.telemetry.stage import stage
from imgserve.timeout import waiting
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import SourceUnavailable
from imgserve.transfer.fetch import Fetch, Follows, anywhere
from imgserve.transfer.memory import Together


class Rendition(msgspec.Struct, frozen=True):
    """A handle of a finished picture, which its owner closes, with the warnings that belong to it."""

    blob: Blob
    warnings: tuple[OutputWarning, ...] = ()

    def share(self) -> "Rendition":
        """A further handle."""
        return Rendition(self.blob.share(), self.warnings)

    def close(self) -> None:
        self.blob.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Renderer:
    """Equal renders that are under way at the same time are one: equal recipe, size and format of the same bytes.

    The same bytes means the same download, also of further pictures. Two downloads from one URL may differ, and the
    newer job would get the older picture.
    """

    def __init__(self, transfers: Transfers, pool: Pool, named: NamedPictures | None = None) -> None:
        self._transfers = transfers
        self._pool = pool
        self._named = NamedPictures() if named is None else named
        self._under_way: SingleFlight[Rendition] = SingleFlight()

    async def sources(
        self, sources: Sequence[Source], prefetched: Fetch | None = None, principal: str = ""
    ) -> list[Blob]:
        """All these pictures, in their order, which the caller closes. Raises the transfer's faults.

        Each is downloaded once, the first one perhaps by intake already (``prefetched``). Memory for several is
        reserved in one step: a rendering that held a part of it while it waits for the rest could wait for ever. So a
        prefetched one is downloaded again where the others would have to wait.
        """
        downloads = await self._downloaded(dict.fromkeys(sources, True), principal, prefetched)
        with ExitStack() as held:
            blobs = {source: held.enter_context(blob) for source, blob in downloads.items() if isinstance(blob, Blob)}
            return [blobs[source].share() for source in sources]

    async def pictures(
        self,
        source: Source | Blob,
        recipes: Iterable[Recipe],
        principal: str = "",
        prefetched: Fetch | None = None,
        within_s: float | None = None,
        credential: str = "",
        follows: Follows = anywhere,
    ) -> Pictures:
        """A source and all that these recipes draw besides, which the caller closes. Raises the source's faults alone.

        ``source`` as a blob stays the caller's, and has no ``prefetched``. ``within_s`` limits each download.
        ``principal``: the one whose credentials it may name. ``credential`` goes along with those that it is for;
        ``follows``: where redirects of them may lead.
        """
        wanted = {
            image: None if url is None else self._transfers.lent(url, credential, principal)
            for image, url in further.sources_of(recipes).items()
        }
        needed: dict[Source, bool] = {}
        if isinstance(source, Source):
            needed[source] = True
        for url in wanted.values():
            if url is not None:
                needed.setdefault(url, False)
        downloads = await self._downloaded(needed, principal, prefetched, within_s, follows) if needed else {}
        own = downloads[source] if isinstance(source, Source) else source
        assert isinstance(own, Blob)
        with ExitStack() as held:
            for blob in downloads.values():
                if isinstance(blob, Blob):
                    held.enter_context(blob)
            return Pictures(own.share(), {image: self._picture(image, url, downloads) for image, url in wanted.items()})

    def _picture(
        self, image: ImageRef, url: Source | None, downloads: Mapping[Source, Blob | ImgserveError]
    ) -> Blob | ImgserveError:
        if url is None:
            try:
                return self._named.share(image.name)
            except SourceUnavailable as error:
                return error
        picture = downloads[url]
        return picture.share() if isinstance(picture, Blob) else picture

    async def _downloaded(
        self,
        sources: Mapping[Source, bool],
        principal: str,
        prefetched: Fetch | None,
        within_s: float | None = None,
        follows: Follows = anywhere,
    ) -> dict[Source, Blob | ImgserveError]:
        """The download of each source, which the caller closes. True: its error is raised, at once.

        ``prefetched`` is the first one's.
        """
        with stage("fetch"), waiting():
            # The wait is for slots and for memory. A download has a time-out of its own.
            blobs = await self._fetched(sources, principal, prefetched, within_s, follows)
            if blobs is None:
                blobs = await self._fetched(sources, principal, None, within_s, follows)
            assert blobs is not None  # without a prefetched one all of them wait for memory together
        failpoint.reach("fetched")
        return blobs

    async def _fetched(
        self,
        sources: Mapping[Source, bool],
        principal: str,
        prefetched: Fetch | None,
        within_s: float | None,
        follows: Follows,
    ) -> dict[Source, Blob | ImgserveError] | None:
        """As ``_downloaded``. None: the prefetched source was given up, since the others would wait for memory, which
        they must not while it holds some.
        """
        is_given_up = False

        def give_up() -> None:
            nonlocal is_given_up
            is_given_up = True
            held.close()

        with ExitStack() as held:
            begun = [] if prefetched is None else [held.enter_context(prefetched)]
            count = len(sources) - len(begun)
            together = None
            if count and len(sources) > 1:
                together = Together(self._transfers.budget, count, give_up if begun else None)
            begun += [
                held.enter_context(
                    self._transfers.open(source, together, within_s, principal=principal, follows=follows)
                )
                for source in tuple(sources)[len(begun) :]
            ]
            fetches = dict(zip(sources, begun, strict=True))
            downloads = [_ended(fetch, is_needed=sources[source]) for source, fetch in fetches.items()]
            try:
                ends = [await downloads[0]] if together is None else await asyncio.gather(*downloads)
            except ImgserveError:
                if is_given_up:
                    return None
                raise
            if is_given_up:
                return None
            return {source: error or fetches[source].blob.share() for source, error in zip(fetches, ends, strict=True)}

    def new_batch(self, renditions: int) -> int:
        """For so many renditions of one download, which share its decode; 0 for one alone."""
        return self._pool.new_batch() if renditions > 1 else 0

    async def rendition(
        self,
        source: Blob,
        info: ImageInfo,
        rendering: Rendering,
        further: Sequence[Blob] = (),
        *,
        is_alone: bool,
        principal: str = "",
        batch: int = 0,
    ) -> Rendition:
        """The finished picture, which the caller closes. Raises the pool's faults.

        ``further``: the pictures of ``rendering.recipe.further``, in their order. ``batch``: as :meth:`new_batch`.
        """

        def begin() -> asyncio.Task[Rendition]:
            own = Inputs(source.share(), tuple(blob.share() for blob in further))
            render = self._render(own, info, rendering, is_alone=is_alone, principal=principal, batch=batch)
            task = asyncio.create_task(render)
            task.add_done_callback(lambda _: own.close())
            return task

        return await self._under_way.result((source, *further, rendering, is_alone, principal), begin)

    async def _render(
        self, pictures: Inputs, info: ImageInfo, rendering: Rendering, *, is_alone: bool, principal: str, batch: int
    ) -> Rendition:
        warnings: tuple[OutputWarning, ...] = ()

        def note(written: Written) -> None:
            nonlocal warnings
            warnings = written.warnings
            if written.encodes > 1:
                timed.add(encodes=written.encodes)

        with stage("render") as timed:
            picture = await self._pool.render(
                pictures.source,
                rendering,
                pictures.further,
                is_svg=info.is_svg,
                is_alone=is_alone,
                principal=principal,
                batch=batch,
                on_written=note,
            )
        failpoint.reach("rendered")
        return Rendition(picture, warnings)


async def _ended(fetch: Fetch, *, is_needed: bool) -> ImgserveError | None:
    """The error of a download that is needed is raised."""
    try:
        await fetch.finish()
    except ImgserveError as error:
        if is_needed:
            raise
        return error
    return None
