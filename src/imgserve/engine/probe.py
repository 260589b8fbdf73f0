"""The probe: the intake worker reads the header of a job's source, from as few bytes as it needs.

Called by ``intake`` with a download that goes on meanwhile.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from imgserve.imaging.faults import SourceUnreadable, WorkerDied
from imgserve.imaging.pool import Pool
from imgserve.request.faults import beneath
from imgserve.request.geometry import NotSvg
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.job import JobRequest
from imgserve.request.operations.rasterize import Rasterize
from imgserve.transfer.fetch import Fetch

T = TypeVar("T")

FIRST_BYTES = 16_384


async def info_of(fetch: Fetch, request: JobRequest, pool: Pool, principal: str) -> ImageInfo:
    """Type, size, orientation, frames. Raises NotSvg, and the faults of transfers and pool."""
    # A damaged source is refused at once, unless one of the outputs accepts it.
    is_strict = all(output.recipe.load.strict for output in request.outputs)
    beyond = FIRST_BYTES
    while True:
        await fetch.more(beyond)
        probe = partial(pool.probe, fetch.blob, is_complete=fetch.is_complete, is_strict=is_strict, principal=principal)
        try:
            with beneath("outputs", 0):  # one output's change is enough to go on
                info = await twice(probe)
        except SourceUnreadable as error:
            if _wants_svg(request):
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


def _wants_svg(request: JobRequest) -> bool:
    return any(isinstance(change, Rasterize) for output in request.outputs for change in output.recipe.operations)
