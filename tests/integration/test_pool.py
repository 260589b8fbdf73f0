"""The pool with real workers: what happens when they die, hang, are cancelled, are worn out or cannot start."""

import asyncio
import gc
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path, PurePath
from typing import NamedTuple, cast

import pytest
import pytest_asyncio
import uvloop
from PIL import Image

from imgserve.blob import Blob
from imgserve.errors import ImgserveError
from imgserve.imaging.config import Config, Isolation
from imgserve.imaging.faults import NoWorker, PictureTooLarge, RenderTimeout, SourceUnreadable, SvgInvalid, WorkerDied
from imgserve.imaging.messages import Drawing
from imgserve.imaging.pool import Pool, PoolCannotStart
from imgserve.imaging.process import Child, socket_pair
from imgserve.imaging.worker.formats import turbojpeg
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.operations.convolve import Convolve
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.redact import MOST_REGIONS, Redact, Region
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import MAX_OPERATIONS, Recipe
from imgserve.request.rendering import Rendering
from tests.chaos.gauges import Spent
from tests.support import pictures
from tests.support.pools import draw_bytes, probe_bytes, render_bytes
from tests.support.processes import descriptors
from tests.support.sizes import PATIENCE_S
from tests.support.twin import Twin

TASK = Rendering(Recipe((Resize(),), Encode(format="jpeg")), Size(200, 120), "jpeg")
SVG_TASK = Rendering(Recipe((Rasterize(),), Encode(format="png")), Size(900, 900), "png")
PHOTO = pictures.encoded(pictures.detailed(800, 600), "jpeg")
WEBP = pictures.encoded(pictures.detailed(800, 600), "webp")
SLOW = pictures.slow_svg()


def patient(**changes: object) -> Config:
    """One render worker, and deadlines that no busy machine runs into."""
    times = {"render_timeout_s": PATIENCE_S, "svg_timeout_s": PATIENCE_S, "probe_timeout_s": PATIENCE_S}
    return Config(workers=1, **times, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["principal", "shared"], ids=["forked", "executed"])
def isolation(request: pytest.FixtureRequest) -> Isolation:
    """Both ways to start a worker."""
    return cast(Isolation, request.param)


@asynccontextmanager
async def started(isolation: Isolation) -> AsyncIterator[Pool]:
    pool = Pool(patient(isolation=isolation), Limits())
    await pool.start()
    yield pool
    pids = (*pool.worker_pids, *pool.template_pids)
    await pool.aclose()
    # A forked worker is gone a moment after its pidfd says so.
    await until(lambda: not any(exists(pid) for pid in pids), "a worker was not reaped")


@pytest_asyncio.fixture
async def pool(isolation: Isolation) -> AsyncIterator[Pool]:
    async with started(isolation) as pool:
        yield pool


class Lasting(NamedTuple):
    """A pool, and how many workers it has when none of them is missing."""

    pool: Pool
    workers: int


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(isolation: Isolation) -> AsyncIterator[Lasting]:
    async with started(isolation) as pool:
        yield Lasting(pool, len(pool.worker_pids))


@pytest_asyncio.fixture(loop_scope="module")
async def used(lasting: Lasting) -> Pool:
    """Whatever the tests before have done to it."""

    def is_whole() -> bool:
        pids = lasting.pool.worker_pids
        return len(pids) == lasting.workers and all(map(is_ready, pids))

    await until(is_whole, "no new spare")
    return lasting.pool


async def until(is_true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.005)


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def is_ready(pid: int) -> bool:
    """It has locked itself in."""
    return exists(pid) and b"Seccomp:\t2" in read(pid, "status")


def read(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


async def busy_worker(pool: Pool) -> int:
    """The worker that holds the slow picture: the one whose processor time grows."""
    spent = Spent(pool.worker_pids)

    def look() -> bool:
        spent.look()
        return bool(spent.users(0.06))

    await until(look, "no worker took the picture")
    return spent.users(0.06)[0]


async def works(pool: Pool) -> None:
    assert Image.open(io.BytesIO(await render_bytes(pool, PHOTO, TASK))).size == (200, 120)


@pytest.mark.asyncio(loop_scope="module")
async def test_probe_draw_and_render(used: Pool) -> None:
    with Blob.of(PHOTO) as source:
        assert await used.probe(source, is_complete=True) == ImageInfo("jpeg", 800, 600, 1)
        with await used.render(source, TASK) as picture:
            shown = Image.open(io.BytesIO(picture.read()))
        assert (shown.size, shown.format) == ((200, 120), "JPEG")
        assert source.read() == PHOTO, "a worker may not change its source"
    drawing = await draw_bytes(used, Drawing(Size(300, 200), "webp", "#8c8c8c", "Image being processed"))
    assert Image.open(io.BytesIO(drawing)).size == (300, 200)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_recipe_that_is_longer_than_a_packet(used: Pool) -> None:
    """The longest that a job may ask for: each of its operations is a list of numbers. It leaves the worker alone."""
    pids = used.worker_pids
    regions = tuple(Region("12.3456%", 1000 + top, "12.3456%", 1000) for top in range(MOST_REGIONS))
    for operation in (Redact(regions, mode="color"), Convolve(((0.1,) * 31,) * 31)):
        recipe = Recipe((Resize(2, 2), *[operation] * (MAX_OPERATIONS - 1)), Encode("png"))
        data = await render_bytes(used, PHOTO, Rendering(recipe, Size(2, 2), "png"))
        assert Image.open(io.BytesIO(data)).size == (2, 2)
    assert used.worker_pids == pids


@pytest.mark.asyncio(loop_scope="module")
async def test_a_growing_source_is_probed_again(used: Pool) -> None:
    with Blob.of(PHOTO[:100]) as source:
        assert await used.probe(source, is_complete=False) is None
        source.append(PHOTO[100:4000])
        assert await used.probe(source, is_complete=False) == ImageInfo("jpeg", 800, 600, 1)


@pytest.mark.parametrize(("data", "is_whole_needed"), [(WEBP[:20_000], True), (WEBP[:200], True), (PHOTO[:100], False)])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_beginning_that_will_never_do_is_told(used: Pool, data: bytes, is_whole_needed: bool) -> None:
    calls: list[bool] = []
    with Blob.of(data) as source:
        info = await used.probe(source, is_complete=False, on_whole_needed=lambda: calls.append(True))
    assert (info, calls) == (None, [True] * is_whole_needed)


@pytest.mark.asyncio(loop_scope="module")
async def test_clean_faults_come_back_and_leave_the_worker_alone(used: Pool) -> None:
    pids = used.worker_pids
    calls: list[tuple[type[ImgserveError], Awaitable[object]]] = [
        (SourceUnreadable, probe_bytes(used, b"nonsense" * 20, is_complete=True)),
        (SvgInvalid, probe_bytes(used, pictures.svg("<g>"), is_complete=True)),
        (PictureTooLarge, draw_bytes(used, Drawing(Size(20_000, 1), "png", "#000000", ""))),
    ]
    for expected, call in calls:
        with pytest.raises(expected):
            await call
    await works(used)
    assert used.worker_pids == pids


@pytest.mark.parametrize(
    ("data", "task", "expected"),
    [(b"nonsense" * 20, TASK, SourceUnreadable), (b"", TASK, SourceUnreadable), (PHOTO, SVG_TASK, SvgInvalid)],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_worker_that_decoded_a_broken_picture_is_replaced(
    used: Pool, data: bytes, task: Rendering, expected: type[ImgserveError]
) -> None:
    before = set(used.worker_pids)
    with pytest.raises(expected):
        await render_bytes(used, data, task)
    await works(used)
    await until(lambda: len(used.worker_pids) == len(before), "no new spare")
    assert len(before - set(used.worker_pids)) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_kill_9_in_the_middle_of_a_render(used: Pool) -> None:
    count = len(used.worker_pids)
    render = asyncio.create_task(render_bytes(used, SLOW, SVG_TASK))
    pid = await busy_worker(used)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerDied) as caught:
        await render
    assert caught.value.is_retryable
    await works(used)
    await until(lambda: len(used.worker_pids) == count, "no new spare")
    assert pid not in used.worker_pids


async def test_a_worker_that_closes_its_socket_and_lives_on_is_killed() -> None:
    ours, theirs = socket_pair()
    process = sleeper()
    child = Child(process.pid, process.wait, ours)
    theirs.close()
    async with asyncio.timeout(PATIENCE_S / 4):
        await child.reaped()
    await until(lambda: not exists(child.pid), "the worker was not reaped")


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


@pytest.mark.parametrize("isolation", ["shared"], indirect=True)
async def test_a_fresh_worker_that_cannot_start_is_no_crash(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(NoWorker) as caught:
        await render_bytes(pool, PHOTO, TASK, is_alone=True)
    assert caught.value.is_retryable


@pytest.mark.asyncio(loop_scope="module")
async def test_kill_9_of_every_idle_worker(used: Pool) -> None:
    killed = used.worker_pids
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not set(killed) & set(used.worker_pids), "the dead are still listed")
    await works(used)
    assert await probe_bytes(used, PHOTO, is_complete=True) is not None


async def test_the_deadline_ends_in_a_kill_and_the_spare_takes_over(isolation: Isolation) -> None:
    pool = Pool(Config(workers=1, svg_timeout_s=0.5, isolation=isolation), Limits())
    await pool.start()
    try:
        before, spent, twin = pool.worker_pids, Spent(pool.worker_pids), Twin(2.0)
        render = asyncio.create_task(render_bytes(pool, SLOW, SVG_TASK, is_svg=True))
        while not render.done():
            await asyncio.wait([render], timeout=0.02)
            spent.look()
            assert not await twin.is_first(render)
        twin.stop()
        with pytest.raises(RenderTimeout, match=r"0\.5 seconds"):
            await render
        assert spent.most_s < 1.0, "it worked on; the whole picture takes 15"
        await works(pool)
        await until(lambda: sum(not exists(pid) for pid in before) == 1, "the killed worker was not reaped")
    finally:
        await pool.aclose()


@pytest.mark.asyncio(loop_scope="module")
async def test_cancelling_ends_the_worker(used: Pool) -> None:
    render = asyncio.create_task(render_bytes(used, SLOW, SVG_TASK))
    pid = await busy_worker(used)
    render.cancel()
    with pytest.raises(asyncio.CancelledError):
        await render
    await works(used)
    await until(lambda: not exists(pid), "the cancelled worker was not reaped")


@pytest.mark.asyncio(loop_scope="module")
async def test_those_who_wait_are_served_in_order_and_may_give_up(used: Pool) -> None:
    order: list[int] = []

    async def one(number: int) -> None:
        await render_bytes(used, PHOTO, TASK)
        order.append(number)

    tasks = [asyncio.create_task(one(number)) for number in range(8)]
    await asyncio.sleep(0)
    pids = used.worker_pids
    tasks[4].cancel()
    await asyncio.wait(tasks)
    assert order == [0, 1, 2, 3, 5, 6, 7]
    assert used.worker_pids == pids, "giving up while waiting costs no worker"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_slow_render_does_not_hold_up_probes(used: Pool) -> None:
    render = asyncio.create_task(render_bytes(used, SLOW, SVG_TASK))
    await busy_worker(used)
    async with asyncio.timeout(PATIENCE_S / 4):
        await probe_bytes(used, PHOTO, is_complete=True)
        await draw_bytes(used, Drawing(Size(30, 20), "png", "#8c8c8c", ""))
    assert not render.done(), "it was not slow"
    render.cancel()
    await asyncio.wait([render])


@pytest.mark.asyncio(loop_scope="module")
async def test_alone_means_a_fresh_worker_that_ends_afterwards(used: Pool) -> None:
    before = set(used.worker_pids)
    # Half a second of CPU: between two looks this process may wait for a processor.
    drawing = pictures.slow_svg(12_000)
    render = asyncio.create_task(render_bytes(used, drawing, SVG_TASK, is_alone=True))
    seen: set[int] = set()
    while not render.done():
        seen |= set(used.worker_pids) - before
        await asyncio.sleep(0.001)
    assert Image.open(io.BytesIO(await render)).size == (900, 900)
    assert len(seen) == 1
    assert set(used.worker_pids) == before


async def test_a_worker_is_retired_after_its_share(isolation: Isolation) -> None:
    pool = Pool(patient(recycle_after=3, isolation=isolation), Limits())
    await pool.start()
    try:
        before = set(pool.worker_pids)
        for _ in range(5):
            assert await probe_bytes(pool, PHOTO, is_complete=True)  # which is no render
        for _ in range(3):
            await works(pool)
        await until(lambda: len(set(pool.worker_pids) - before) == 1, "nobody was replaced")
        assert len(before - set(pool.worker_pids)) == 1
        for _ in range(4):
            await works(pool)
    finally:
        await pool.aclose()


async def test_stopping_lets_nobody_wait_for_ever(isolation: Isolation) -> None:
    pool = Pool(patient(isolation=isolation), Limits())
    await pool.start()
    renders = [asyncio.create_task(render_bytes(pool, SLOW, SVG_TASK)) for _ in range(3)]
    await busy_worker(pool)
    await pool.aclose()
    results = await asyncio.gather(*renders, return_exceptions=True)
    assert [type(result) for result in results] == [NoWorker] * 3
    assert pool.worker_pids == ()
    with pytest.raises(NoWorker, match="stopping"):
        await render_bytes(pool, PHOTO, TASK)


async def test_workers_that_cannot_start_say_why(isolation: Isolation) -> None:
    pool = Pool(Config(workers=1, memory_limit_bytes=60_000_000, isolation=isolation), Limits())
    with pytest.raises(PoolCannotStart, match=r"cannot start: .+"):
        await pool.start()
    assert pool.worker_pids == ()


async def test_descriptors_do_not_leak(pool: Pool) -> None:
    await works(pool)
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    workers_before = [len(os.listdir(f"/proc/{pid}/fd")) for pid in pool.worker_pids]
    for _ in range(30):
        await works(pool)
        with pytest.raises(SourceUnreadable):
            await probe_bytes(pool, b"nonsense" * 20, is_complete=True)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
    assert [len(os.listdir(f"/proc/{pid}/fd")) for pid in pool.worker_pids] == workers_before


async def test_workers_are_locked_in_and_know_nothing(pool: Pool) -> None:
    assert pool.sandbox == "landlock+seccomp"
    for pid in pool.worker_pids:
        status = read(pid, "status").decode()
        assert "Seccomp:\t2" in status
        assert "NoNewPrivs:\t1" in status
        names = {entry.split(b"=")[0] for entry in read(pid, "environ").split(b"\0") if entry}
        assert names <= {b"LANG", b"HOME", b"VIPS_CONCURRENCY", b"VIPS_DISC_THRESHOLD"}
        assert {target.split(":")[0] for target in descriptors(pid).values()} == {
            "/dev/null",
            "socket",
            f"/proc/{pid}/statm",
        }


@pytest.mark.asyncio(loop_scope="module")
async def test_workers_load_what_they_need_and_no_other_decoder(used: Pool) -> None:
    for pid in used.worker_pids:
        loaded = read(pid, "maps").decode()
        assert "libvips" in loaded
        assert ("libturbojpeg" in loaded) == turbojpeg.is_there()
        of_pillow = {PurePath(line.split()[-1]).name for line in loaded.splitlines() if "/PIL/" in line}
        # dav1d is in its libavif. Its other decoders, and its Python, come with the first picture that needs them.
        assert {name.partition(".")[0] for name in of_pillow} == {"_avif"}
        assert "/numpy/" not in loaded


def test_the_parent_never_loads_libvips() -> None:
    program = "import sys, imgserve.imaging.pool; print([n for n in sys.modules if 'vips' in n or n.startswith('PIL')])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_workers_end_with_their_parent(isolation: Isolation) -> None:
    program = (
        "import asyncio, os\n"
        "from imgserve.imaging.config import Config\n"
        "from imgserve.imaging.pool import Pool\n"
        "from imgserve.request.limits import Limits\n"
        "async def main():\n"
        f"    pool = Pool(Config(workers=1, isolation={isolation!r}), Limits())\n"
        "    await pool.start()\n"
        "    print(*pool.worker_pids, *pool.template_pids, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    pids = [int(word) for word in ended.stdout.split()]
    assert len(pids) == (5 if isolation == "principal" else 3)
    end = time.monotonic() + PATIENCE_S
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < end, "a worker has outlived its parent"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_works_on_uvloop(isolation: Isolation) -> None:
    async def main() -> None:
        pool = Pool(Config(workers=1, svg_timeout_s=0.3, isolation=isolation), Limits())
        await pool.start()
        await works(pool)
        with pytest.raises(RenderTimeout):
            await render_bytes(pool, SLOW, SVG_TASK, is_svg=True)
        await works(pool)
        await pool.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
