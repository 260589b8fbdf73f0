"""The parts of a server, and a receiver of pictures, for the tests of how the parts work together."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.plant import Plant, plant
from tests.support.stalling import Receiver


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plant]:
    async with plant(tmp_path) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver.listening() as opened:
        yield opened
