"""Pictures on demand in one process: what a client waits for, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from imgserve.engine import ondemand
from imgserve.engine.config import OnDemandConfig
from imgserve.engine.ondemand import OnDemand, by_chunks
from imgserve.engine.ondemand_slots import OnDemandFull, OnDemandQuotaFull
from imgserve.engine.pictures import NamedPictures
from imgserve.engine.render import Renderer
from imgserve.imaging.config import Config as PoolConfig
from imgserve.imaging.pool import Pool
from imgserve.request.encode import NO_DEFAULTS
from imgserve.request.limits import Limits
from imgserve.request.principal import Principal
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import TransfersBusy
from tests.support.transfers import source

BUDGET = 1000
ALONE = Principal("alone", "alone")
ONE, OTHER = Principal("one", "one", has_quota=True), Principal("other", "other", has_quota=True)


@pytest.fixture
async def made() -> OnDemand:
    """Without workers: nothing here is rendered."""
    transfers, pool = Transfers(Config(memory_bytes=BUDGET), Limits()), Pool(PoolConfig(workers=1), Limits())
    named = NamedPictures()
    renderer = Renderer(transfers, pool, named)
    config = OnDemandConfig(max_at_once=4, max_waiting=0)
    return OnDemand(transfers, pool, renderer, named, Limits(), NO_DEFAULTS, config, 0.5, 0.25, 30.0)


def chunks(*data: bytes) -> Iterator[bytes]:
    yield from data
    yield b""


async def test_an_upload_waits_for_memory_so_long_and_no_longer(
    made: OnDemand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ondemand, "MEMORY_PATIENCE_S", 0.05)

    async def data() -> bytes:
        return next(coming)

    coming = chunks(b"a" * 600)
    with made.receive(by_chunks(data), 600, ALONE) as first:
        assert (await first.finish()).size == 600
        with made.receive(by_chunks(data), 600, ALONE) as second:
            with pytest.raises(TransfersBusy, match=r"within 0\.05 s"):
                await second.finish()
            assert second.reserved_bytes == 0
    coming = chunks(b"b" * 500, b"c" * 100)
    with made.receive(by_chunks(data), 600, ALONE) as third:
        assert (await third.finish()).read() == b"b" * 500 + b"c" * 100


async def test_a_picture_that_has_come_waits_for_memory_too(made: OnDemand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ondemand, "MEMORY_PATIENCE_S", 0.05)
    with made.received(b"a" * 400) as first:
        assert (await first.finish()).size == first.reserved_bytes == 400
        with made.received(b"b" * 601) as second:
            with pytest.raises(TransfersBusy, match=r"within 0\.05 s"):
                await second.finish()
            assert second.reserved_bytes == 0
        with made.received(b"c" * 600) as third:  # more than half of the memory is asked for, and waited for
            assert (await third.finish()).read() == b"c" * 600


async def test_one_of_several_principals_leaves_memory_to_the_others(
    made: OnDemand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ondemand, "MEMORY_PATIENCE_S", 0.05)
    goes_on = asyncio.Event()

    async def slow() -> bytes:
        await goes_on.wait()
        return b""

    async def quick() -> bytes:
        return next(coming)

    with made.receive(by_chunks(slow), 400, ONE) as first:
        await asyncio.sleep(0)
        with made.receive(by_chunks(slow), 101, ONE) as second, pytest.raises(OnDemandQuotaFull, match="500 bytes"):
            await asyncio.wait_for(second.finish(), 20.0)
        coming = chunks(b"a" * 600)
        with made.receive(by_chunks(quick), 600, OTHER) as third:
            assert (await third.finish()).size == 600
        goes_on.set()
        await first.finish()
    coming = chunks(b"b" * 450)
    with made.receive(by_chunks(quick), 450, ONE) as fourth:
        assert (await fourth.finish()).size == 450


@asynccontextmanager
async def held(made: OnDemand, *principals: Principal) -> AsyncIterator[None]:
    if not principals:
        yield
        return
    async with made.slot(principals[0]), held(made, *principals[1:]):
        yield


async def test_slots_of_principals_and_hosts(made: OnDemand) -> None:
    async with held(made, ONE, ONE):
        with pytest.raises(OnDemandQuotaFull):
            await made.slot(ONE).__aenter__()
        async with held(made, OTHER, OTHER):
            with pytest.raises(OnDemandFull):
                await made.slot(Principal("third", "third")).__aenter__()
    async with made.slot(ONE, source("http://a.test/1.png")):
        with pytest.raises(OnDemandFull):
            await made.slot(OTHER, source("http://a.test/2.png")).__aenter__()
        async with made.slot(OTHER, source("http://b.test/2.png")):
            pass
    async with held(made, *[Principal("alone", "alone")] * 4):
        with pytest.raises(OnDemandFull):
            await made.slot(ONE).__aenter__()
