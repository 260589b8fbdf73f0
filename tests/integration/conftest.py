"""The parts of a server, and a receiver of pictures, for the tests of how the parts work together.

The tests of a file share a pool, and so an event loop: ``pytestmark = pytest.mark.asyncio(loop_scope="module")``.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from imgserve.imaging.config import Config
from imgserve.imaging.pool import Pool
from imgserve.request.limits import Limits
from tests.support.plant import Plant, plant
from tests.support.stalling import Receiver


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool_of_plants() -> AsyncIterator[Pool]:
    pool = Pool(Config(workers=1), Limits())
    await pool.start()
    yield pool
    await pool.aclose()


@pytest_asyncio.fixture(loop_scope="module")
async def made(tmp_path: Path, pool_of_plants: Pool) -> AsyncIterator[Plant]:
    async with plant(tmp_path, pool_of_plants) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver.listening() as opened:
        yield opened
