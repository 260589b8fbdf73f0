"""Starts real workers as the server does, and has them read each format, and write most. Called by ``report``.

No picture is parsed here: a worker's result goes back to a worker.
"""

from importlib.metadata import version
from typing import get_args

import msgspec

from imgserve.blob import Blob
from imgserve.cli.check.finding import Finding, fault, ok, warning
from imgserve.cli.check.samples import SAMPLES
from imgserve.errors import ImgserveError
from imgserve.imaging.abilities import abilities
from imgserve.imaging.config import Config
from imgserve.imaging.messages import Drawing
from imgserve.imaging.pool import Pool, PoolCannotStart
from imgserve.request.encode import Encode, Format
from imgserve.request.imageinfo import Size, SourceFormat
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering

_SIZE = Size(64, 40)
_SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="40"><text y="30" font-size="30">{}</text></svg>'
_ANEW = "install imgserve anew, into a virtual environment of its own"


async def look(config: Config) -> list[Finding]:
    pool = Pool(msgspec.structs.replace(config, workers=1), Limits())
    try:
        await pool.start()
    except PoolCannotStart as error:
        return [fault("workers", error.detail, "see docs/operations.md, When it does not start")]
    try:
        findings = [ok("workers", "a render worker starts and answers"), _sandbox(pool.sandbox, config)]
        findings += [_libvips(pool.system_libvips), await _svg(pool)]
        findings += [await _codec(pool, name) for name in get_args(Format)]
        return findings + [await _reader(pool, name) for name in abilities().reads if name in SAMPLES]
    finally:
        await pool.aclose()


def _sandbox(state: str, config: Config) -> Finding:
    if config.sandbox == "off":
        detail = "sandbox is off: a picture that takes over a decoder has the server's rights"
        return warning("sandbox", detail, "use auto")
    if "off" in state:
        hint = "use a kernel with Landlock (5.13) and seccomp, and a container that allows both"
        return warning("sandbox", f"workers are not locked in: {state}", hint)
    return ok("sandbox", f"workers are locked in by {state.replace('+', ' and ')}")


def _libvips(system: str) -> Finding:
    if not system:
        return ok("libvips", f"{version('pyvips-binary')}, the wheel's own")
    return warning("libvips", f"{system}, which is not the tested one", f"{_ANEW}, and leave allow_system_libvips out")


async def _svg(pool: Pool) -> Finding:
    try:
        pictures = {await _rendered(pool, _SVG.format(text).encode()) for text in ("ab", "cd")}
    except ImgserveError as error:
        return fault("SVG", error.sentence(), _ANEW)
    if len(pictures) == 1:  # without a font nothing is drawn, or the same empty boxes
        hint = "on Debian: apt-get install fonts-dejavu-core"
        return warning("SVG", "text in SVGs cannot be read: there is no font for it", hint)
    return ok("SVG", "is read, and text in it is drawn")


async def _rendered(pool: Pool, svg: bytes) -> bytes:
    recipe = Recipe((Rasterize(width=_SIZE.width_px, height=_SIZE.height_px),), Encode("png"))
    with Blob.of(svg) as source, await pool.render(source, Rendering(recipe, _SIZE, "png"), is_svg=True) as picture:
        return picture.read()


async def _reader(pool: Pool, name: SourceFormat) -> Finding:
    """A format that is read only."""
    recipe = Recipe((Resize(width=8, height=8, if_small="enlarge"),), Encode("png"))
    try:
        with Blob.of(SAMPLES[name]) as source:
            (await pool.render(source, Rendering(recipe, Size(8, 8), "png"))).close()
    except ImgserveError as error:
        return fault(name, error.sentence(), _ANEW)
    return ok(name, "is read")


async def _codec(pool: Pool, name: Format) -> Finding:
    """Write a picture, read it and write it again."""
    half = Size(_SIZE.width_px // 2, _SIZE.height_px // 2)
    recipe = Recipe((Resize(width=half.width_px, height=half.height_px),), Encode(name))
    try:
        with await pool.draw(Drawing(_SIZE, name, "#808080", "ok")) as drawn:
            (await pool.render(drawn, Rendering(recipe, half, name))).close()
    except ImgserveError as error:
        return fault(name, error.sentence(), _ANEW)
    return ok(name, "is written and read")
