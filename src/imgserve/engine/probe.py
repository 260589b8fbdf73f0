"""The probe: the intake worker reads the header of a job's source, from as few bytes as it needs.

Called by ``intake`` and ``ondemand`` with a transfer that goes on meanwhile.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from imgserve.imaging.faults import RenderTimeout, SourceUnreadable, WorkerDied
from imgserve.imaging.pool import Pool
from imgserve.imaging.staff import Work
from imgserve.request.faults import beneath
from imgserve.request.geometry import NotSvg
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.recipe import DEFAULT_LOAD, LoadOptions, Recipe
from imgserve.transfer.fetch import Fetch

T = TypeVar("T")

FIRST_BYTES = 16_384


async def infos_of(fetch: Fetch, recipes: Sequence[Recipe], pool: Pool, principal: str) -> tuple[ImageInfo, ...]:
    """The header of what each recipe takes of the source. Paths of errors begin at the list of recipes.

    Raises as ``info_of`` does.
    """
    # A damaged source is refused at once, unless one of the recipes accepts it.
    is_strict = all(recipe.load.strict for recipe in recipes)
    known: dict[LoadOptions, ImageInfo] = {}  # most jobs take the same of their source for all outputs
    loads = [msgspec.structs.replace(recipe.load, strict=is_strict) for recipe in recipes]
    for index, (recipe, load) in enumerate(zip(recipes, loads, strict=True)):
        if load not in known:
            with beneath(index):
                known[load] = await info_of(fetch, msgspec.structs.replace(recipe, load=load), pool, principal)
    return tuple(known[load] for load in loads)


async def info_of(fetch: Fetch, recipe: Recipe | None, pool: Pool, principal: str, work: Work = "job") -> ImageInfo:
    """Type, size, orientation, frames, of what the recipe takes. Paths of errors begin at the recipe.

    Raises NotSvg, and the faults of transfers and pool.
    """
    load = DEFAULT_LOAD if recipe is None else recipe.load
    beyond = FIRST_BYTES

    def wait_for_all() -> None:
        nonlocal beyond
        beyond = fetch.limit_bytes

    while True:
        await fetch.more(beyond)
        ask = partial(pool.probe, load=load, principal=principal, work=work, on_whole_needed=wait_for_all)
        content = fetch.content
        size_bytes = len(content) if isinstance(content, bytes) else content.size
        probe = partial(ask, content, is_complete=fetch.is_complete)
        try:
            info = await twice(probe)
        except SourceUnreadable as error:
            check_svg(recipe, error)
            raise
        except (RenderTimeout, WorkerDied) as error:
            error.is_of_source = True
            raise
        if info is not None:
            return info
        beyond = min(max(beyond, size_bytes) * 2, fetch.limit_bytes)


async def twice(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask a second worker when the first one dies, which may happen for reasons of its own. One more death is the
    input's fault.
    """
    try:
        return await ask()
    except WorkerDied:
        return await ask()


def check_svg(recipe: Recipe | None, error: SourceUnreadable) -> None:
    """What cannot be read is at least no SVG, if the recipe needs one. Raises NotSvg."""
    if recipe is not None and any(isinstance(change, Rasterize) for change in recipe.operations):
        with beneath("operations", 0):
            raise NotSvg("the source's bytes are no SVG, which rasterize needs") from error
