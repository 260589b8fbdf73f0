"""Decoders that a worker imports with its first such picture: in locked workers, forked and executed, also where the
interpreter and its library are outside /usr."""

import asyncio
import io
import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image

from imgserve.imaging.config import Config, Isolation
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Encode, Format
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from tests.support import pictures
from tests.support.pools import probe_bytes, render_bytes
from tests.support.sizes import PATIENCE_S

ROOT = Path(__file__).parents[2]
SCENE = pictures.scene(48, 32)
SPARE = ("site-packages", "test", "idlelib", "tkinter", "ensurepip", "lib2to3", "config-*", "__pycache__")


def icon() -> bytes:
    out = io.BytesIO()
    SCENE.save(out, "ICO", sizes=[(16, 11), (48, 32)], bitmap_format="bmp")
    return out.getvalue()


def samples() -> dict[str, tuple[bytes, Format]]:
    """One for each decoder, and the format that makes the worker use it."""
    return {
        "heic": (pictures.encoded(SCENE, "heic"), "png"),
        "bmp": (pictures.encoded(SCENE, "bmp"), "png"),
        "ico": (icon(), "png"),
        "png": (pictures.film([SCENE, SCENE.rotate(180)], "png", [50, 50]), "webp"),
    }


async def every_one(isolation: Isolation) -> dict[str, list[int]]:
    """Probed and rendered, each by a worker that has seen no other: the size of the result and its frames."""
    results = {}
    for name, (data, output_format) in samples().items():
        times = {"render_timeout_s": PATIENCE_S, "probe_timeout_s": PATIENCE_S}
        pool = Pool(Config(workers=1, sandbox="require", isolation=isolation, **times), Limits())  # type: ignore[arg-type]
        await pool.start()
        try:
            info = await probe_bytes(pool, data, is_complete=True)
            assert info is not None
            assert (info.format, info.width_px, info.height_px) == (name, 48, 32)
            task = Rendering(Recipe((Resize(),), Encode(format=output_format)), Size(24, 16), output_format)
            result = Image.open(io.BytesIO(await render_bytes(pool, data, task)))
            results[name] = [*result.size, getattr(result, "n_frames", 1)]
        finally:
            await pool.aclose()
    return results


EXPECTED = {"heic": [24, 16, 1], "bmp": [24, 16, 1], "ico": [24, 16, 1], "png": [24, 16, 2]}


@pytest.mark.parametrize("isolation", ["principal", "shared"], ids=["forked", "executed"])
async def test_locked_workers_import_the_decoders(isolation: Isolation) -> None:
    assert await every_one(isolation) == EXPECTED


def test_they_do_with_an_interpreter_outside_usr(tmp_path: Path) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    home = tmp_path / "lib" / name
    shutil.copytree(library, home, ignore=shutil.ignore_patterns(*SPARE), symlinks=True)
    (home / "site-packages").mkdir()
    (home / "site-packages" / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT / 'src'}\n{ROOT}\n")
    python = tmp_path / "bin" / name
    python.parent.mkdir()
    shutil.copy(Path(sys.executable).resolve(), python)
    code = f"import {__name__} as here; here.print_every_one()"
    ran = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    shown = json.loads(ran.stdout)
    assert shown["library"].startswith(str(tmp_path))
    assert shown["results"] == {"forked": EXPECTED, "executed": EXPECTED}


def print_every_one() -> None:
    """Called by the other interpreter."""
    results = {"forked": asyncio.run(every_one("principal")), "executed": asyncio.run(every_one("shared"))}
    print(json.dumps({"library": json.__file__, "results": results}))
