"""GETs of sources that cannot be had, for which the mount has a picture."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from imgserve.api.http.asgi import Scope
from imgserve.server.build import Components
from tests.support import mounted
from tests.support.components import components_of
from tests.support.sizes import PATIENCE_S

SETTINGS = """
read_root = ["TOP/in"]
[get.thumbor]
path = "/"
allow_unsigned = true
sources = ["file://TOP/in/"]
base_url = "file://TOP/in/"
fallback = "none"
[picture.none]
path = "TOP/none.png"
"""


class Request(dict[str, Any]):
    """A scope."""


@pytest_asyncio.fixture
async def components(tmp_path: Path) -> AsyncIterator[Components]:
    (tmp_path / "in").mkdir()
    mounted.paint(tmp_path / "none.png", mounted.GREEN)
    async with components_of(tmp_path, SETTINGS) as components:
        yield components


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def body_of(components: Components, scope: Scope) -> bytes:
    mount = components.on_the_fly.mounts.at(scope)
    assert mount is not None
    pieces = list[bytes]()

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, Any]) -> None:
        pieces.append(message.get("body", b""))

    await mount.app(scope, receive, send)
    return b"".join(pieces)


@pytest.mark.usefixtures("no_collector")
async def test_the_error_keeps_nothing_of_its_request(components: Components, tmp_path: Path) -> None:
    mounted.paint(tmp_path / "in" / "red.png", mounted.RED)
    loop = asyncio.get_running_loop()

    async def asked(name: str) -> bytes:
        """The picture, once nothing holds its request any more: a thread that has failed does so for a moment."""
        path = f"/unsafe/20x20/{name}"
        scope = Request(
            type="http", method="GET", path=path, raw_path=path.encode(), query_string=b"", headers=[], cors=(),
            http_version="1.1", client=("127.0.0.1", 1), request_id="r", on_gone=lambda _: lambda: None,
        )  # fmt: skip
        is_gone = asyncio.Event()
        ref = weakref.ref(scope, lambda _: loop.call_soon_threadsafe(is_gone.set))
        body = await body_of(components, scope)
        del scope
        async with asyncio.timeout(PATIENCE_S):
            await is_gone.wait()
        assert ref() is None
        return body

    assert await asked("red.png") != await asked("missing.png")
