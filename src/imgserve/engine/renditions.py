"""Plans and renders one picture of a GET. In: a dialect's parameters and a source's bytes. Out: the picture's file.

Called by ``images``, which keeps what comes out.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Self

import msgspec

from imgserve.blob import Blob
from imgserve.engine.cache.entry import Meta
from imgserve.engine.mounts import Mount
from imgserve.engine.ondemand import of_source
from imgserve.engine.originals import Original
from imgserve.engine.pictures import Inputs
from imgserve.engine.render import Renderer
from imgserve.imaging.faults import REPORTED, MaxBytesUnreachable, WorkerDied
from imgserve.imaging.pool import Pool
from imgserve.request import wish as wishes
from imgserve.request.dialects.dialect import Asked, Planned
from imgserve.request.encode import Defaults, Encode
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.recipe import DEFAULT_LOAD, MEDIA_TYPE, LoadOptions, Recipe
from imgserve.request.rendering import Rendering, loaded, resolve
from imgserve.telemetry import gets
from imgserve.telemetry.stage import stage

_MOST_INFOS = 4_000
# What no program is to interpret.
OCTETS = "application/octet-stream"
_OF_SVG, _OF_ICO = "image/svg+xml", "image/x-icon"


class Rendered(msgspec.Struct, frozen=True):
    """A finished picture with its headers, whose blob the owner closes."""

    blob: Blob
    meta: Meta

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.blob.close()


class Renditions:
    """``defaults``: of the settings. ``within_s`` limits the download of each further picture."""

    def __init__(self, pool: Pool, renderer: Renderer, limits: Limits, defaults: Defaults, within_s: float) -> None:
        self._pool = pool
        self._renderer = renderer
        self._limits = limits
        self._defaults = defaults
        self._within_s = within_s
        self._infos: OrderedDict[tuple[Hashable, LoadOptions], ImageInfo] = OrderedDict()

    async def info(self, original: Original, principal: str, load: LoadOptions = DEFAULT_LOAD) -> ImageInfo:
        """The header of what ``load`` takes of the source. Raises the pool's faults."""
        info = self._infos.get((original.identity, load))
        if info is None:
            with stage("probe", is_outer=True), of_source():
                info = await self._pool.probe(
                    original.blob, is_complete=True, load=load, principal=principal, work="request"
                )
            assert info is not None, "a complete source is always decided"
            self._remember(original, load, info)
        return info

    def _remember(self, original: Original, load: LoadOptions, info: ImageInfo) -> None:
        self._infos[original.identity, load] = info
        if len(self._infos) > _MOST_INFOS:
            self._infos.popitem(last=False)

    async def media_type(self, original: Original, principal: str) -> str:
        """That of the source's own bytes. An SVG as it comes is no picture: it may run scripts.

        Raises RenderTimeout, WorkerDied, NoWorker.
        """
        try:
            info = await self.info(original, principal)
        except tuple(REPORTED.values()):
            return OCTETS
        return OCTETS if info.is_svg else _media_type(info)

    async def of(self, mount: Mount, asked: Asked[Any], original: Original) -> Rendered:
        """The picture, which the caller closes. Raises UrlRefused, RequestInvalid, the faults of transfers and pool."""
        principal = mount.principal.id
        if (rendered := await self._made(mount, asked, original)) is not None:
            return rendered
        info = await self.info(original, principal, mount.dialect.load)
        planned = mount.dialect.plan(asked.parameters, info)
        headers = mount.dialect.headers(asked, info, planned)
        if planned.is_source and not info.is_svg:
            return Rendered(original.blob.share(), _meta(_media_type(info), headers))
        if planned.is_source:
            with stage("render", is_outer=True), of_source():
                sanitized = await self._pool.sanitized(original.blob, principal=principal, work="request")
            if sanitized is not None:
                return Rendered(sanitized, _meta(_OF_SVG, headers))
            planned = Planned(Recipe((), Encode("png")))
        recipe, batch = planned.recipe, 0
        if planned.trim is not None:
            recipe, batch = await self._trimmed(mount, asked, original, info, planned)
        recipe = _judged(mount, recipe)
        rendering = resolve(recipe, info, self._limits, self._defaults)
        further = self._renderer.pictures(
            original.blob,
            [rendering.recipe],
            principal=principal,
            within_s=self._within_s,
            credential=mount.config.credential,
            follows=mount.sources.admits,
        )
        with await further as pictures:
            inputs = pictures.of(rendering.recipe)
        with inputs, stage("render", is_outer=True), of_source():
            try:
                blob = await self._render(inputs, info, rendering, principal, batch)
            except MaxBytesUnreachable:  # the originals send what they have
                rendering = _of_any_size(rendering, planned.quality_if_too_large)
                blob = await self._render(inputs, info, rendering, principal)
        return Rendered(blob, _meta(MEDIA_TYPE[rendering.format], headers))

    async def _made(self, mount: Mount, asked: Asked[Any], original: Original) -> Rendered | None:
        """A picture whose source was not looked at yet, by one request to a worker in place of two, if that does."""
        wish, load = wishes.of(asked.parameters), mount.dialect.load
        if wish is None or (original.identity, load) in self._infos:
            return None
        try:
            with stage("render", is_outer=True), of_source():
                info, made = await self._pool.made(
                    original.blob,
                    wish,
                    load,
                    self._defaults,
                    principal=mount.principal.id,
                    on_start=gets.stage_until_called("wait"),
                )
        except WorkerDied:
            await self.info(original, mount.principal.id, load)  # it may have been the header
            raise
        self._remember(original, load, info)
        if made is None:
            return None
        rendering, blob = made
        headers = mount.dialect.headers(asked, info, Planned(rendering.recipe))
        return Rendered(blob, _meta(MEDIA_TYPE[rendering.format], headers))

    async def _render(
        self, inputs: Inputs, info: ImageInfo, rendering: Rendering, principal: str, batch: int = 0
    ) -> Blob:
        return await self._pool.render(
            inputs.source,
            rendering,
            inputs.further,
            is_svg=info.is_svg,
            principal=principal,
            work="request",
            batch=batch,
            on_start=gets.stage_until_called("wait"),
        )

    async def _trimmed(
        self, mount: Mount, asked: Asked[Any], original: Original, info: ImageInfo, planned: Planned
    ) -> tuple[Recipe, int]:
        """The recipe behind the trim, and the batch whose worker has the decoded pixels still."""
        batch = self._pool.new_batch()
        kept = await self._kept(mount, original, info, planned, batch)
        return mount.dialect.trimmed(asked.parameters, info, kept).recipe, batch

    async def kept(self, mount: Mount, asked: Asked[Any], original: Original, info: ImageInfo) -> Part | None:
        """What the trim of a picture leaves of its source; None: nothing is trimmed."""
        planned = mount.dialect.plan(asked.parameters, info)
        return None if planned.trim is None else await self._kept(mount, original, info, planned)

    async def _kept(self, mount: Mount, original: Original, info: ImageInfo, planned: Planned, batch: int = 0) -> Part:
        assert planned.trim is not None
        assert planned.recipe.encode.format is not None, "a plan names the format"
        recipe = msgspec.structs.replace(planned.recipe, operations=(*planned.recipe.operations, planned.trim))
        output, principal = planned.recipe.encode.format, mount.principal.id
        info = loaded(info, recipe.load)
        with stage("render", is_outer=True), of_source():
            return await self._pool.trimmed(original.blob, info, recipe, output, principal=principal, batch=batch)


def _judged(mount: Mount, recipe: Recipe) -> Recipe:
    """With the pictures that it draws as sources of the mount, by the URLs that were judged. Raises RequestInvalid."""
    urls = {image: ImageRef(url=mount.sources.judge(image.url).url) for image in recipe.further if image.url}
    if not urls:
        return recipe
    operations = (
        msgspec.structs.replace(one, image=urls.get(one.image, one.image)) if isinstance(one, Composite) else one
        for one in recipe.operations
    )
    return msgspec.structs.replace(recipe, operations=tuple(operations))


def _of_any_size(rendering: Rendering, quality: int | None) -> Rendering:
    encode = rendering.recipe.encode
    encode = msgspec.structs.replace(encode, max_bytes=None, quality=quality or encode.quality)
    return msgspec.structs.replace(rendering, recipe=msgspec.structs.replace(rendering.recipe, encode=encode))


def _media_type(info: ImageInfo) -> str:
    return _OF_ICO if info.format == "ico" else f"image/{info.format}"


def _meta(media_type: str, headers: tuple[tuple[bytes, bytes], ...]) -> Meta:
    return Meta(media_type, "", 0.0, 0.0, headers=headers)
