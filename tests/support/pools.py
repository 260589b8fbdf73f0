"""Pictures through a pool, as bytes in and out."""

from collections.abc import Sequence
from contextlib import ExitStack

from imgserve.blob import Blob
from imgserve.imaging.messages import Drawing
from imgserve.imaging.pool import Pool
from imgserve.imaging.staff import Work
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.rendering import Rendering


async def render_bytes(
    pool: Pool,
    data: bytes,
    task: Rendering,
    *,
    is_svg: bool = False,
    is_alone: bool = False,
    principal: str = "",
    work: Work = "job",
    further: Sequence[bytes] = (),
) -> bytes:
    with ExitStack() as held:
        source, *others = (held.enter_context(Blob.of(each)) for each in (data, *further))
        render = pool.render(source, task, others, is_svg=is_svg, is_alone=is_alone, principal=principal, work=work)
        return held.enter_context(await render).read()


async def probe_bytes(pool: Pool, data: bytes, *, is_complete: bool, principal: str = "") -> ImageInfo | None:
    with Blob.of(data) as source:
        return await pool.probe(source, is_complete=is_complete, principal=principal)


async def draw_bytes(pool: Pool, drawing: Drawing, *, principal: str = "") -> bytes:
    with await pool.draw(drawing, principal=principal) as picture:
        return picture.read()
