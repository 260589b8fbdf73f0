"""The whole server's parts together: how many jobs its queue believes to be under way, whose changes share commits."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from imgserve.jobs.sqlite.queue import SqliteQueue
from imgserve.request.native_job import parse_job
from imgserve.request.principal import Principal
from imgserve.server.build import Components
from tests.support import mounted
from tests.support.components import components_of
from tests.support.sizes import PATIENCE_S
from tests.support.stalling import Receiver

SETTINGS = """
read_root = ["TOP"]
allow_network = ["127.0.0.0/8"]
"""
ALONE = Principal("@local", "local")


@pytest_asyncio.fixture
async def components(tmp_path: Path) -> AsyncIterator[Components]:
    mounted.paint(tmp_path / "red.png", mounted.RED)
    async with components_of(tmp_path, SETTINGS) as components:
        yield components


async def test_jobs_count_from_their_slot_until_their_end_is_stored(components: Components, tmp_path: Path) -> None:
    queue = components.queue
    assert isinstance(queue, SqliteQueue)
    under_way = queue._committer._gathering.under_way

    def job(port: int, name: str) -> object:
        return {"source": f"file://{tmp_path}/red.png", "outputs": [{"destination": f"http://127.0.0.1:{port}/{name}"}]}

    async with asyncio.timeout(PATIENCE_S), Receiver.listening() as receiver:
        assert under_way() == 0
        receiver.stall("placeholder")
        requests = [parse_job(job(receiver.port, f"{number}.png"), now=0.0) for number in range(3)]
        intakes = [asyncio.create_task(components.intake.accept(request, ALONE)) for request in requests]
        await receiver.until_came(3)
        assert under_way() == 3
        receiver.go()
        await asyncio.gather(*intakes)
        assert under_way() == 0, "nobody works on them"
        receiver.stall("final")
        components.runner.start()
        await receiver.until_came(6)
        assert under_way() == 3
        receiver.go()
        while under_way():  # noqa: ASYNC110 - the ends are stored after the answers, which tells nobody
            await asyncio.sleep(0.01)
