"""Writes of two nodes to one destination, which really is a receiver that stalls."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imgserve.engine.delivery import Deliveries
from imgserve.jobs.model import OutputResult, Settlement
from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryUnknown
from tests.integration.test_delivery import (
    PATIENCE_S,
    at,
    placeholder,
    put_place,
    running_final,
    stalled_write,
    written,
)
from tests.support.postgres import Postgres
from tests.support.postgres_nodes import nodes_of
from tests.support.queues import accepted
from tests.support.sizes import PATIENCE_S as TEST_PATIENCE_S
from tests.support.stalling import Receiver


@pytest.fixture
async def transfers(tmp_path: Path) -> AsyncIterator[Transfers]:
    opened = Transfers(Config(allow_networks=("127.0.0.0/8",), write_roots=(str(tmp_path),)), Limits())
    yield opened
    await opened.aclose()


async def test_a_newcomer_breaks_off_the_older_write_of_another_node(postgres: Postgres, transfers: Transfers) -> None:
    async with nodes_of(postgres) as nodes, Receiver.listening() as receiver:
        one, other = await nodes.open(now=time.time()), await nodes.open(now=time.time())
        of_one, of_other = (Deliveries(queue, transfers, patience_s=PATIENCE_S) for queue in (one, other))
        place = put_place(receiver)
        older = await running_final(one, place)
        stalled = await stalled_write(of_one, receiver, older, place)
        newer = await accepted(other, at(place), now=time.time())
        newcomer = asyncio.create_task(written(of_other, placeholder(newer, place), place))
        with pytest.raises(DeliveryUnknown):
            await asyncio.wait_for(stalled, TEST_PATIENCE_S)
        await receiver.until_cut_off()
        assert receiver.log == ["put final"]
        receiver.go()
        retry = OutputResult(older.output_id, "retry", due_at=time.time())
        assert await one.settle(Settlement(older.number, older.token, (retry,)), time.time())
        await asyncio.wait_for(newcomer, TEST_PATIENCE_S)
        assert receiver.log == ["put final", "put placeholder"]
