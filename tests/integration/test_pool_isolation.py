"""No process that has read one principal's pictures is ever given another's: looked at from outside, with real workers.

A worker that waits writes nothing, so whoever has written meanwhile has served.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from imgserve.imaging.config import Config, Isolation
from imgserve.imaging.messages import Drawing
from imgserve.imaging.pool import Pool
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from tests.integration.test_pool import PHOTO, TASK, until
from tests.support.pools import draw_bytes, probe_bytes, render_bytes

MOST = 22  # processes, of one worker and any number of principals
DRAWING = Drawing(Size(300, 200), "png", "#8c8c8c", "Image being processed")


@asynccontextmanager
async def opened(isolation: Isolation = "principal", workers: int = 1) -> AsyncIterator[Pool]:
    pool = Pool(Config(workers=workers, isolation=isolation), Limits(), lambda: True)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.aclose()


def writes(pool: Pool) -> dict[int, str]:
    """How often each worker has written anything: a result, a reply."""
    found = {}
    for pid in pool.worker_pids:
        try:
            found[pid] = Path(f"/proc/{pid}/io").read_text().split("syscw: ")[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


async def served_by(pool: Pool, asked: Awaitable[object]) -> set[int]:
    """Who answered, of those that were there: among them was a fresh one, so no later one can have served."""
    await complete(pool)
    before = writes(pool)
    await asked
    after = writes(pool)
    return {pid for pid, count in before.items() if after.get(pid, count) != count}


async def complete(pool: Pool) -> None:
    await until(lambda: all(lane.missing == 0 for lane in pool.staffing()), "there are not enough workers")


async def test_two_principals_never_share_a_process() -> None:
    async with opened() as pool:
        served: dict[str, set[int]] = {"a": set(), "b": set()}
        for _ in range(3):
            for principal, pids in served.items():
                pids |= await served_by(pool, probe_bytes(pool, PHOTO, is_complete=True, principal=principal))
                pids |= await served_by(pool, render_bytes(pool, PHOTO, TASK, principal=principal))
        assert served["a"]
        assert served["b"]
        assert not served["a"] & served["b"]


async def test_one_principal_keeps_its_processes() -> None:
    async with opened() as pool:
        first = await served_by(pool, render_bytes(pool, PHOTO, TASK, principal="a"))
        pids = pool.worker_pids
        for _ in range(4):
            assert await served_by(pool, render_bytes(pool, PHOTO, TASK, principal="a")) == first
        assert pool.worker_pids == pids
        assert len(first) == 1


async def test_a_process_each_where_there_is_room() -> None:
    """Two principals and two workers: nobody is switched."""
    async with opened(workers=3) as pool:
        pids = pool.worker_pids
        await render_bytes(pool, PHOTO, TASK, principal="a")
        await render_bytes(pool, PHOTO, TASK, principal="b")
        await complete(pool)
        for _ in range(5):
            await asyncio.gather(*(render_bytes(pool, PHOTO, TASK, principal=principal) for principal in "ab"))
        assert pool.worker_pids == pids


async def test_placeholders_are_drawn_by_who_never_reads() -> None:
    async with opened() as pool:
        drew, read = set[int](), set[int]()
        for principal in "aba":
            drew |= await served_by(pool, draw_bytes(pool, DRAWING, principal=principal))
            read |= await served_by(pool, probe_bytes(pool, PHOTO, is_complete=True, principal=principal))
        assert len(drew) == 1
        assert not drew & read


async def test_a_picture_each() -> None:
    async with opened("picture") as pool:
        served = [await served_by(pool, render_bytes(pool, PHOTO, TASK, principal="a")) for _ in range(3)]
        await complete(pool)
        assert not any(served), "a process that has read a picture lives on"


async def test_shared_as_before() -> None:
    async with opened("shared") as pool:
        a = await served_by(pool, render_bytes(pool, PHOTO, TASK, principal="a"))
        b = await served_by(pool, render_bytes(pool, PHOTO, TASK, principal="b"))
        assert a == b


@pytest.mark.parametrize("isolation", ["principal", "picture", "shared"])
async def test_many_principals_are_served_and_processes_do_not_grow(isolation: Isolation) -> None:
    async with opened(isolation) as pool:
        renders = [render_bytes(pool, PHOTO, TASK, principal=str(number)) for number in range(12)]
        probes = [probe_bytes(pool, PHOTO, is_complete=True, principal=str(number)) for number in range(12)]
        assert all(await asyncio.gather(*renders, *probes))
        await complete(pool)
        assert len(pool.worker_pids) <= MOST


async def test_who_gives_up_while_a_process_is_started_takes_none_along() -> None:
    """Each of them would need a switch, and none is waited for."""
    async with opened() as pool:
        for number in range(4):
            asked = asyncio.create_task(render_bytes(pool, PHOTO, TASK, principal=str(number)))
            await asyncio.sleep(0)
            asked.cancel()
        assert await render_bytes(pool, PHOTO, TASK, principal="z")
        await complete(pool)
        assert [(lane.busy, lane.missing, lane.waiting) for lane in pool.staffing()] == [(0, 0, 0)] * 3
