"""Several callers at the pool, with real workers: they take turns, and none keeps all the workers for itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from imgserve.imaging import staff
from imgserve.imaging.config import Config
from imgserve.imaging.faults import NoWorker, RenderTimeout
from imgserve.imaging.messages import Drawing
from imgserve.imaging.pool import Pool
from imgserve.imaging.staff import Work
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from tests.integration.test_pool import PHOTO, SLOW, SVG_TASK, TASK, busy_worker, until
from tests.support.pools import draw_bytes, probe_bytes, render_bytes
from tests.support.sizes import PATIENCE_S

AT_ONCE_S = PATIENCE_S / 4  # a slow picture takes all of it


@asynccontextmanager
async def opened(workers: int, *, is_shared: bool = True, svg_timeout_s: float = PATIENCE_S) -> AsyncIterator[Pool]:
    times = {"render_timeout_s": PATIENCE_S, "probe_timeout_s": PATIENCE_S, "svg_timeout_s": svg_timeout_s}
    pool = Pool(Config(workers=workers, **times), Limits(), lambda: is_shared)  # type: ignore[arg-type]
    await pool.start()
    try:
        yield pool
    finally:
        await pool.aclose()


class Asking:
    """``order``: whose renders have ended, one letter each. A capital letter is a client that waits."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.order = ""
        self.tasks: list[asyncio.Task[None]] = []

    def photos(self, principals: str) -> None:
        self.tasks += [asyncio.create_task(self._photo(principal)) for principal in principals]

    async def slow(self, principals: str) -> None:
        self.tasks += [asyncio.create_task(self._slow(principal)) for principal in principals]
        await asyncio.sleep(0)

    async def ended(self) -> str:
        async with asyncio.timeout(AT_ONCE_S):
            await asyncio.gather(*self.tasks)
        return self.order

    async def _photo(self, principal: str) -> None:
        await render_bytes(self._pool, PHOTO, TASK, principal=principal.lower(), work=_work(principal))
        self.order += principal

    async def _slow(self, principal: str) -> None:
        with pytest.raises(RenderTimeout):
            await render_bytes(
                self._pool, SLOW, SVG_TASK, is_svg=True, principal=principal.lower(), work=_work(principal)
            )
        self.order += principal


def _work(principal: str) -> Work:
    return "request" if principal.isupper() else "job"


async def test_callers_take_turns_at_one_worker() -> None:
    async with opened(1) as pool:
        asking = Asking(pool)
        asking.photos("aaaaabbc")
        assert await asking.ended() == "abcabaaa"


async def test_jobs_and_clients_take_turns_at_one_worker() -> None:
    """Whoever asks for them, and though the client came last."""
    async with opened(1) as pool:
        asking = Asking(pool)
        asking.photos("aaabbbAA")
        assert await asking.ended() == "aAbAbaba"


@pytest.mark.parametrize(("slow", "photos", "order"), [("a", "aaAA", "aAAa"), ("A", "AAaa", "AaaA")])
async def test_of_two_workers_jobs_and_clients_have_one_each(slow: str, photos: str, order: str) -> None:
    """The first finds the second worker free. Then those of whom one has a worker wait until the others need none."""
    async with opened(2, is_shared=False) as pool:
        holding, asking = Asking(pool), Asking(pool)
        await holding.slow(slow)
        await busy_worker(pool)
        asking.photos(photos)
        assert await asking.ended() == order
        for task in holding.tasks:
            task.cancel()


async def test_a_client_waits_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(staff._PATIENCE_S, "request", 0.05)
    async with opened(1) as pool:
        asking = Asking(pool)
        await asking.slow("a")
        await busy_worker(pool)
        asking.photos("b")
        with pytest.raises(NoWorker, match=r"within 0\.05 s") as refused:
            await render_bytes(pool, PHOTO, TASK, work="request")
        assert refused.value.retry_after_s == 0.05
        assert pool.staffing()[0].waiting == 1, "the job waits on"
        for task in asking.tasks:
            task.cancel()


async def test_who_was_served_longest_ago_is_next() -> None:
    """Also who asks for one at a time, as jobs at their intake do."""
    async with opened(1) as pool:
        asking = Asking(pool)
        asking.photos("aaaaaa")
        await asyncio.sleep(0)
        for _ in range(3):
            await render_bytes(pool, PHOTO, TASK, principal="b")
            asking.order += "b"
        assert await asking.ended() == "abababaaa"


async def test_one_of_several_leaves_a_worker() -> None:
    async with opened(2) as pool:
        flood = Asking(pool)
        await flood.slow("aaaa")
        await busy_worker(pool)
        asking = Asking(pool)
        asking.photos("bbbb")
        assert await asking.ended() == "bbbb"
        assert flood.order == ""
        assert pool.staffing()[0].waiting == 3
        for task in flood.tasks:
            task.cancel()


async def test_who_has_fewer_workers_is_next() -> None:
    """Though b was served later than a."""
    async with opened(3, is_shared=False) as pool:
        flood, asking = Asking(pool), Asking(pool)
        await flood.slow("aa")
        asking.photos("bab")
        await until(lambda: len(asking.order) == 3, "the third worker serves nobody")
        assert asking.order == "bba"
        for task in flood.tasks:
            task.cancel()


async def test_one_alone_has_all_workers() -> None:
    async with opened(2, is_shared=False) as pool:
        asking = Asking(pool)
        await asking.slow("aaa")
        await until(lambda: pool.staffing()[0].busy == 2, "one worker was kept")
        for task in asking.tasks:
            task.cancel()


@pytest.mark.parametrize("workers", [1, 2])
async def test_what_is_killed_gives_its_turn_back(workers: int) -> None:
    async with opened(workers, svg_timeout_s=0.3) as pool:
        asking = Asking(pool)
        await asking.slow("aaaa")
        assert await asking.ended() == "aaaa"
        asking.photos("aab")
        await asking.ended()


async def test_a_placeholder_that_takes_long_does_not_hold_up_others() -> None:
    """A render worker helps out, though not the last one for whoever asks so much."""
    async with opened(2) as pool:
        large = Drawing(Size(8000, 6000), "avif", "#808080", "")
        drawings = [asyncio.create_task(draw_bytes(pool, large, principal="a")) for _ in range(3)]
        await until(lambda: [lane.busy for lane in pool.staffing()[:2]] == [1, 1], "a has no two workers")
        assert pool.staffing()[1].waiting == 1
        async with asyncio.timeout(AT_ONCE_S):
            await probe_bytes(pool, PHOTO, is_complete=True, principal="b")
        assert not any(drawing.done() for drawing in drawings)
        for drawing in drawings:
            drawing.cancel()


async def test_giving_up_gives_the_turn_back() -> None:
    async with opened(2) as pool:
        asking = Asking(pool)
        await asking.slow("aaa")
        await busy_worker(pool)
        for task in (asking.tasks[1], asking.tasks[0]):  # one that waits, the one that is at work
            task.cancel()
        await until(lambda: pool.staffing()[0].waiting == 0, "the third waits still")
        assert pool.staffing()[0].busy == 1
        asking.tasks[2].cancel()
