"""Pictures through a pool, as bytes in and out."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

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


def without_module(name: str, directory: Path) -> Path:
    """A Python for workers that has everything that this one has, but for this module."""
    run = "runpy.run_module('imgserve.imaging.worker', None, '__main__', True)"
    code = f"import runpy, sys; sys.modules[{name!r}] = None; {run}"
    path = directory / f"python-without-{name}"
    path.write_text(f'#!/bin/sh\nshift 3\nexec {shlex.quote(sys.executable)} -I -c {shlex.quote(code)} "$@"\n')
    path.chmod(0o755)
    return path
