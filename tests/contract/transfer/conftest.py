"""A bucket of moto's for the tests of a module."""

from collections.abc import AsyncIterator, Iterator

import pytest

from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from tests.support.buckets import ObjectStore
from tests.support.habits import Bench


@pytest.fixture(scope="module")
def shared() -> Iterator[ObjectStore]:
    with ObjectStore() as store:
        yield store


@pytest.fixture
async def plain(shared: ObjectStore) -> AsyncIterator[Bench]:
    shared.clear()
    transfers = Transfers(Config(), Limits(), credentials=shared.credentials)
    yield Bench(shared, transfers)
    await transfers.aclose()
