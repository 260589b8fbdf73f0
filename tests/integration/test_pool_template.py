"""The template: who forks workers, what becomes of them when it ends, and that exec serves where it cannot fork."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from imgserve.imaging import starter, template
from imgserve.imaging.config import Config
from imgserve.imaging.faults import WorkerDied
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from tests.hostile.test_live_worker import run_inside
from tests.integration.test_pool import PHOTO, SLOW, SVG_TASK, TASK, busy_worker, exists, patient, until, works
from tests.support import pictures
from tests.support.pools import render_bytes
from tests.support.sizes import sized

needs_gdb = pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed; apt-get install gdb")


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(patient(), Limits())
    await pool.start()
    yield pool
    pids = (*pool.worker_pids, *pool.template_pids)
    await pool.aclose()
    await until(lambda: not any(exists(pid) for pid in pids), "a process was not reaped")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def parents(pool: Pool) -> set[int]:
    return {parent(pid) for pid in pool.worker_pids}


async def all_are_there(pool: Pool) -> None:
    await until(lambda: all(lane.missing == 0 for lane in pool.staffing()), "there are not enough workers")


async def test_workers_are_forked_by_a_locked_in_template(pool: Pool) -> None:
    (pid,) = pool.template_pids
    assert parents(pool) == {pid}
    assert parent(pid) == os.getpid()
    status = read(pid, "status")
    assert "Seccomp:\t2" in status
    assert "Threads:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    for worker in pool.worker_pids:
        assert read(worker, "oom_score_adj") == "1000\n"
    assert read(pid, "oom_score_adj") != "1000\n", "with it all workers would go"


async def test_many_workers_are_ordered_at_once() -> None:
    """As a machine of 40 processors does; the template's own descriptors are few."""
    forking = await template.start_template(Config(memory_limit_bytes=1_000_000_000))
    try:
        children = await asyncio.gather(*(forking.fork() for _ in range(40)))
        assert {parent(child.pid) for child in children} == {forking.pid}
    finally:
        forking.close()
        await forking.reaped()
    await asyncio.gather(*(child.reaped() for child in children))


async def test_when_it_ends_its_workers_end_and_others_take_over(pool: Pool) -> None:
    (pid,) = pool.template_pids
    workers = pool.worker_pids
    render = asyncio.create_task(render_bytes(pool, SLOW, SVG_TASK))
    await busy_worker(pool)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerDied) as caught:
        await render
    assert caught.value.is_retryable
    await until(lambda: set(workers).isdisjoint(pool.worker_pids), "the dead are still listed")
    await works(pool)
    await until(lambda: not any(exists(worker) for worker in workers), "a worker has outlived its template")
    await all_are_there(pool)
    assert parents(pool) == set(pool.template_pids)
    assert pool.template_pids != (pid,)


async def test_a_worker_that_dies_of_itself_costs_the_template_its_place(pool: Pool) -> None:
    """What its children have in common must not be guessed at again and again."""
    (pid,) = pool.template_pids
    render = asyncio.create_task(render_bytes(pool, SLOW, SVG_TASK))
    os.kill(await busy_worker(pool), signal.SIGSEGV)
    with pytest.raises(WorkerDied):
        await render
    await works(pool)
    await until(lambda: not exists(pid), "the old template is kept")
    await all_are_there(pool)
    assert pid not in parents(pool)


async def test_a_deadline_does_not(pool: Pool) -> None:
    (pid,) = pool.template_pids
    render = asyncio.create_task(render_bytes(pool, SLOW, SVG_TASK))
    await busy_worker(pool)
    render.cancel()
    await works(pool)
    await all_are_there(pool)
    assert pool.template_pids == (pid,)


async def test_it_is_replaced_after_its_share_and_a_busy_worker_goes_on(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pid,) = pool.template_pids
    monkeypatch.setattr(starter, "MOST_FORKS", 5)
    render = asyncio.create_task(render_bytes(pool, SLOW, SVG_TASK))
    busy = await busy_worker(pool)
    for _ in range(3):
        await render_bytes(pool, PHOTO, TASK, is_alone=True)
    await until(lambda: pid not in {parent(worker) for worker in pool.worker_pids if worker != busy}, "not replaced")
    assert exists(busy)
    assert parent(busy) == pid
    render.cancel()
    await until(lambda: not exists(pid), "the old template is kept")
    await works(pool)


async def test_one_that_does_not_answer_is_done_without(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    (pid,) = pool.template_pids
    monkeypatch.setattr(template, "_ANSWER_TIMEOUT_S", 0.3)
    os.kill(pid, signal.SIGSTOP)
    assert await render_bytes(pool, PHOTO, TASK, is_alone=True)
    await until(lambda: not exists(pid), "it is kept")
    await works(pool)
    assert pool.template_pids == ()
    assert parents(pool) == {os.getpid()}


async def test_one_that_has_been_replaced_is_waited_for_at_the_end(pool: Pool) -> None:
    begun = pool._stock.starter
    ended = begun._template
    assert ended is not None
    ended.close()
    assert begun._is_due()
    assert begun._template is None
    await pool.aclose()
    assert ended not in begun._unreaped


@needs_gdb
async def test_one_with_a_second_thread_does_not_fork(pool: Pool) -> None:
    """A child would wait for ever for what the other thread holds."""
    (pid,) = pool.template_pids
    before = set(pool.worker_pids)
    code = "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    await asyncio.to_thread(run_inside, pid, code)
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    await until(lambda: before.isdisjoint(pool.worker_pids), "the dead are still listed")
    await works(pool)
    await all_are_there(pool)
    assert parents(pool) <= {os.getpid(), *pool.template_pids} - {pid}


async def test_fresh_workers_draw_every_kind_as_warm_ones_do(pool: Pool) -> None:
    """What a template has not warmed up, or has left locked, shows in its children's first pictures."""
    photo = pictures.detailed(120, 90)
    kinds = {name: pictures.encoded(photo, name) for name in ("jpeg", "png", "webp", "gif", "tiff", "avif")}
    kinds["svg"] = pictures.svg('<rect width="30" height="30" fill="#f00"/>')
    kinds["text"] = pictures.svg('<text y="40" font-size="40" font-family="serif">Grüße</text>')
    kinds["blur"] = pictures.svg(
        '<filter id="f"><feGaussianBlur stdDeviation="3"/></filter><rect width="50" height="40" filter="url(#f)"/>'
    )
    warm = Pool(patient(isolation="shared"), Limits())
    await warm.start()
    try:
        for name, data in kinds.items():
            operation = Resize() if name in ("jpeg", "png", "webp", "gif", "tiff", "avif") else Rasterize()
            task = Rendering(Recipe((operation,), Encode(format="png")), Size(60, 45), "png")
            expected = await render_bytes(warm, data, task)
            for _ in range(sized(2, 45)):
                assert await render_bytes(pool, data, task, is_alone=True) == expected, name
    finally:
        await warm.aclose()
