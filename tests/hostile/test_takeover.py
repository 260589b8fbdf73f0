"""SAFETY of the others while a worker is in a stranger's hands: it has served principal a, and code of a's picture runs
in it. b's pictures never reach it, its results are never b's, nothing that it does to a's keeps the server busy.
"""

import asyncio
import gc
import os
import re
import shutil
import threading
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
import pytest_asyncio

from imgserve.blob import Blob
from imgserve.errors import ImgserveError
from imgserve.imaging import starter
from imgserve.imaging.config import Config
from imgserve.imaging.faults import RenderTimeout, WorkerDied
from imgserve.imaging.pool import Pool
from imgserve.imaging.process import CannotStartWorker
from imgserve.imaging.template import Template
from imgserve.request.limits import Limits
from tests.chaos.gauges import resident_bytes
from tests.hostile.takeover import take_over
from tests.hostile.test_live_worker import READ_FOUND, run_inside
from tests.integration.test_pool import PHOTO, TASK, patient
from tests.integration.test_pool_isolation import DRAWING, complete, served_by
from tests.support.pools import draw_bytes, probe_bytes, render_bytes
from tests.support.sizes import IS_FULL, PATIENCE_S, sized

pytestmark = pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed; apt-get install gdb")

SECRET = b"<!-- a secret of b -->"
WAYS = ("forked", "executed") if IS_FULL else ("forked",)
ROUNDS = sized(1, 10)
HELD_BACK_S = 0.5
SLACK = 6  # descriptors: those of a worker more, or of a template that is replaced


@pytest_asyncio.fixture(params=WAYS)
async def pool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    """Both kinds of worker."""
    if request.param == "executed":
        monkeypatch.setattr(starter, "start_template", _no_template)
    pool = Pool(patient(), Limits(), lambda: True)
    await pool.start()
    yield pool
    await pool.aclose()


async def _no_template(_config: Config) -> Template:
    raise CannotStartWorker("a test wants workers of the other kind")


async def hostage(pool: Pool, code: str) -> int:
    """The worker that renders for a, taken over."""
    (pid,) = await served_by(pool, render_bytes(pool, PHOTO, TASK, principal="a"))
    await take_over(pid, code)
    return pid


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def b_is_served(pool: Pool) -> set[int]:
    """By whom. Everything that may be asked."""
    page = b"<form method=post enctype=multipart/form-data><input type=file name=f></form>" + SECRET
    served = await served_by(pool, probe_bytes(pool, PHOTO + SECRET, is_complete=True, principal="b"))
    served |= await served_by(pool, render_bytes(pool, PHOTO + SECRET, TASK, principal="b"))
    served |= await served_by(pool, draw_bytes(pool, DRAWING, principal="b"))
    served |= await served_by(pool, pool.read_page(page, "text/html", 20.0, is_reply_awaited=False, principal="b"))
    return served


LISTENS = """
main.found = "0 of 0"
def answer(request, descriptors, give_up, cache):
    memory.append(os.pread(descriptors[0], 1 << 22, 0))
    main.found = "%d of %d" % (sum(b"a secret of b" in one for one in memory), len(memory))
    return old(request, descriptors, give_up, cache)
"""


async def test_it_reads_what_comes_and_nothing_of_b_comes(pool: Pool) -> None:
    pid = await hostage(pool, LISTENS)
    for _ in range(ROUNDS):
        await render_bytes(pool, PHOTO, TASK, principal="a")
        assert pid not in await b_is_served(pool)
    said = await asyncio.to_thread(run_inside, pid, "", READ_FOUND)
    assert f"0 of {ROUNDS}" in said


async def test_the_same_code_hears_b_where_workers_are_shared() -> None:
    pool = Pool(patient(isolation="shared"), Limits(), lambda: True)
    await pool.start()
    try:
        pid = await hostage(pool, LISTENS)
        assert pid in await b_is_served(pool)
        assert re.search(r"[1-9] of ", await asyncio.to_thread(run_inside, pid, "", READ_FOUND))
    finally:
        await pool.aclose()


KEEPS = """
def answer(request, descriptors, give_up, cache):
    for fd in memory:
        for harm in (
            lambda: os.ftruncate(fd, 1), lambda: os.ftruncate(fd, 1 << 30), lambda: os.pwrite(fd, b"evil", 0),
            lambda: mmap.mmap(fd, 4)[:4], lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 1),
        ):
            try:
                harm()
            except (OSError, ValueError):
                pass
    reply = old(request, descriptors, give_up, cache)
    memory.extend(os.open("/proc/self/fd/%d" % one, os.O_RDWR) for one in descriptors)
    return reply
"""


async def test_it_keeps_result_and_source_and_can_change_neither(pool: Pool) -> None:
    await hostage(pool, KEEPS)
    with ExitStack() as held:
        source = held.enter_context(Blob.of(PHOTO))
        kept = [held.enter_context(await pool.render(source, TASK, principal="a")) for _ in range(4)]
        expected = kept.pop().read()
        for blob in kept:
            assert os.fstat(blob.fd).st_size == blob.size == len(expected)
            assert blob.read() == expected
        assert source.read() == PHOTO
        assert os.fstat(source.fd).st_size == len(PHOTO)


# Each with the words of the error that it ends in.
LIES = {
    "no seal": ("forged(900)", "seal"),
    "a mapping": ("forged(900, lambda: memory.append(mmap.mmap(descriptors[1], 900)))", "seal"),
    "a result of 1 GiB": ("forged(1 << 30, lambda: fcntl.fcntl(descriptors[1], fcntl.F_ADD_SEALS, 14))", "length"),
    "an empty result": ("forged(0, lambda: fcntl.fcntl(descriptors[1], fcntl.F_ADD_SEALS, 14))", "length"),
    "another size": ("main.messages.Written(main.pipeline.Size(1, 1), 'jpeg')", "another picture"),
    "another kind": ("main.messages.Probed(None)", "wrong kind"),
    "ready": ("main.Ready('landlock+seccomp', '')", "wrong kind"),
    "garbage": ("os.write(out, b'\\xff' * 64) and time.sleep(60)", "broke its connection"),
    "no end": ("[os.write(out, b'x' * 60000) for _ in range(100000)]", "broke its connection"),
    "an empty packet": ("os.write(out, b'') or time.sleep(60)", "ended"),
    "two answers": ("[os.write(out, main.wire.packet(main.messages.Probed(None))) for _ in 'ab']", "wrong kind"),
    "an end": ("os._exit(0)", "ended"),
    "a fault by itself": ("ctypes.string_at(0)", "ended|died"),
}
LIES_TRIED = LIES if IS_FULL else {name: LIES[name] for name in ("no seal", "no end")}
LIAR = """
out = {out}
def answer(request, descriptors, give_up, cache):
    def forged(size, then=lambda: None):
        os.ftruncate(descriptors[1], size)
        then()
        return main.messages.Written(request.rendering.size, "jpeg")
    return {lie}
"""


def socket_of(pid: int) -> int:
    found = [int(n) for n in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{n}").startswith("socket")]
    (number,) = found
    return number


@pytest.mark.parametrize("lie", LIES_TRIED)
async def test_it_lies_and_is_ended(pool: Pool, lie: str) -> None:
    (pid,) = await served_by(pool, render_bytes(pool, PHOTO, TASK, principal="a"))
    await take_over(pid, LIAR.format(lie=LIES[lie][0], out=socket_of(pid)))
    held, threads = descriptors(), threading.active_count()
    before, spent = resident_bytes(os.getpid()), time.process_time()
    with pytest.raises(WorkerDied, match=LIES[lie][1]):
        await render_bytes(pool, PHOTO, TASK, principal="a")
    assert pid not in pool.worker_pids
    assert resident_bytes(os.getpid()) - before < 20_000_000
    assert time.process_time() - spent < 2
    assert threading.active_count() == threads
    assert pid not in await b_is_served(pool)
    await complete(pool)
    assert abs(descriptors() - held) <= SLACK


async def test_it_holds_back_and_is_ended_at_its_deadline() -> None:
    """The short deadline is an SVG's, and the one picture before it has a long one."""
    config = Config(workers=1, render_timeout_s=PATIENCE_S, svg_timeout_s=HELD_BACK_S)
    pool = Pool(config, Limits(), lambda: True)
    await pool.start()
    try:
        (pid,) = await served_by(pool, render_bytes(pool, PHOTO, TASK, principal="a"))
        await take_over(pid, "def answer(request, descriptors, give_up, cache): time.sleep(600)")
        with pytest.raises(RenderTimeout):
            await render_bytes(pool, PHOTO, TASK, is_svg=True, principal="a")
        assert pid not in pool.worker_pids
    finally:
        await pool.aclose()


async def test_it_lets_go_of_nothing_and_what_it_holds_is_bounded(pool: Pool) -> None:
    """Its limit of descriptors ends what it may keep; then it dies of its own greed, and others take over."""
    pid = await hostage(
        pool,
        """
        def answer(request, descriptors, give_up, cache):
            memory.extend(os.dup(one) for one in descriptors)
            return old(request, descriptors, give_up, cache)
        """,
    )
    for _ in range(40):
        try:
            await render_bytes(pool, PHOTO, TASK, principal="a")
        except ImgserveError:
            break
        assert len(os.listdir(f"/proc/{pid}/fd")) <= 32
    else:
        pytest.fail("it kept more than its limit")
    assert len(await render_bytes(pool, PHOTO, TASK, principal="a")) > 0
