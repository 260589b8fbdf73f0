"""The whole server's parts in the test's own process, without its listeners."""

from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from imgserve.clock import Clock
from imgserve.engine import pictures
from imgserve.server import build
from imgserve.server.build import Components
from imgserve.settings.load import load
from tests.support.sizes import PATIENCE_S


@asynccontextmanager
async def components_of(top: Path, settings: str) -> AsyncIterator[Components]:
    """``settings``: TOML, in which TOP stands for this directory. The runner is not started."""
    (top / "data").mkdir()
    file = top / "settings.toml"
    file.write_text(f'data_dir = "{top}/data"\n' + settings.replace("TOP", str(top)))
    given, clock = load(Namespace(config=str(file)), {}), Clock()
    queue = await build.open_queue(given, clock)
    components = Components(given, queue, clock, lambda: False, 100, 100)
    await components.pool.start()
    await components.on_the_fly.open()
    components.named.replace(await pictures.read(given.pictures, components.pool, given.limits))
    yield components
    await components.runner.stop(PATIENCE_S)
    await components.transfers.aclose()
    await components.pool.aclose()
    await components.on_the_fly.close()
    components.close()
    await queue.aclose()
