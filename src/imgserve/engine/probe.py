"""The probe: the intake worker reads the header of a job's source, from as few bytes as it needs.

Called by ``intake`` and ``ondemand`` with a transfer that goes on meanwhile.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from imgserve.imaging.faults import SourceUnreadable, WorkerDied
from imgserve.imaging.pool import Pool, Work
from imgserve.request.geometry import NotSvg
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.recipe import Recipe
from imgserve.transfer.fetch import Fetch

T = TypeVar("T")

FIRST_BYTES = 16_384


async def info_of(fetch: Fetch, recipes: Sequence[Recipe], pool: Pool, principal: str, work: Work = "job") -> ImageInfo:
    """Type, size, orientation, frames. Paths of errors begin at a recipe.

    Raises NotSvg, and the faults of transfers and pool.
    """
    # A damaged source is refused at once, unless one of the recipes accepts it.
    is_strict = all(recipe.load.strict for recipe in recipes)
    beyond = FIRST_BYTES
    while True:
        await fetch.more(beyond)
        probe = partial(
            pool.probe, fetch.blob, is_complete=fetch.is_complete, is_strict=is_strict, principal=principal, work=work
        )
        try:
            info = await twice(probe)
        except SourceUnreadable as error:
            if _wants_svg(recipes):
                raise NotSvg("the source's bytes are no SVG, which rasterize needs") from error
            raise
        if info is not None:
            return info
        beyond = max(beyond, fetch.blob.size) * 2


async def twice(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask a second worker when the first one dies, which may happen for reasons of its own. One more death is the
    input's fault.
    """
    try:
        return await ask()
    except WorkerDied:
        return await ask()


def _wants_svg(recipes: Sequence[Recipe]) -> bool:
    return any(isinstance(change, Rasterize) for recipe in recipes for change in recipe.operations)
