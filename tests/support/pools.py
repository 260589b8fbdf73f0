"""Pictures through a pool, as bytes in and out."""

from imgserve.blob import Blob
from imgserve.imaging.messages import Drawing
from imgserve.imaging.pool import Pool, Work
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
) -> bytes:
    with (
        Blob.of(data) as source,
        await pool.render(source, task, is_svg=is_svg, is_alone=is_alone, principal=principal, work=work) as picture,
    ):
        return picture.read()


async def probe_bytes(pool: Pool, data: bytes, *, is_complete: bool, principal: str = "") -> ImageInfo | None:
    with Blob.of(data) as source:
        return await pool.probe(source, is_complete=is_complete, principal=principal)


async def draw_bytes(pool: Pool, drawing: Drawing, *, principal: str = "") -> bytes:
    with await pool.draw(drawing, principal=principal) as picture:
        return picture.read()
