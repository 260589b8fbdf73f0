"""The end of a queue within a server that goes on, as in tests and in a start that fails."""

import asyncio

import pytest

from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.protocol import Queue
from tests.support.queues import accepted


@pytest.mark.timeout(30)
async def test_a_queue_that_is_closed_again(queue: Queue) -> None:
    await asyncio.gather(queue.aclose(), queue.aclose())
    await queue.aclose()
    with pytest.raises(StorageFailing, match="closed"):
        await accepted(queue)
