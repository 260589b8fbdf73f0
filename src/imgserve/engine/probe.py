"""Has the intake worker read the header of a job's source, from as few bytes as it needs.

Called by ``intake.py`` with a download that goes on meanwhile.
"""

from imgserve.blob import Blob
from imgserve.imaging.faults import SourceUnreadable, WorkerDied
from imgserve.imaging.pool import Pool
from imgserve.request.faults import beneath
from imgserve.request.geometry import NotSvg
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.job import JobRequest
from imgserve.request.operations.rasterize import Rasterize
from imgserve.transfer.fetch import Fetch

FIRST_BYTES = 16_384


async def info_of(fetch: Fetch, request: JobRequest, pool: Pool, principal: str) -> ImageInfo:
    """Type, size, orientation, frames. Raises NotSvg, and the faults of transfers and pool."""
    is_strict = _is_strict(request)
    beyond = FIRST_BYTES
    while True:
        await fetch.more(beyond)
        is_complete = fetch.is_complete
        try:
            with beneath("outputs", 0):  # one output's change is enough to go on
                info = await _ask(pool, fetch.blob, principal, is_complete=is_complete, is_strict=is_strict)
        except SourceUnreadable as error:
            if _wants_svg(request):
                raise NotSvg("the source's bytes are no SVG, which rasterize needs") from error
            raise
        if info is not None:
            return info
        beyond = max(beyond, fetch.blob.size) * 2


async def _ask(pool: Pool, blob: Blob, principal: str, *, is_complete: bool, is_strict: bool) -> ImageInfo | None:
    """A worker may die of its own accord; one that dies of the same picture again has died of the picture."""
    try:
        return await pool.probe(blob, is_complete=is_complete, is_strict=is_strict, principal=principal)
    except WorkerDied:
        return await pool.probe(blob, is_complete=is_complete, is_strict=is_strict, principal=principal)


def _wants_svg(request: JobRequest) -> bool:
    return any(isinstance(change, Rasterize) for output in request.outputs for change in output.recipe.operations)


def _is_strict(request: JobRequest) -> bool:
    """Whether a damaged source is refused at once; one output that takes it is enough to go on."""
    return all(output.recipe.load.strict for output in request.outputs)
