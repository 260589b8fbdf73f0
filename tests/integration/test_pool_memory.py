"""Memory that workers keep: what they give back while they are busy, and which of them are ended for it."""

import platform
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from imgserve.imaging import stock
from imgserve.imaging.config import Config
from imgserve.imaging.faults import PictureTooLarge
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Operation, Recipe
from imgserve.request.rendering import Rendering
from tests.support import pictures
from tests.support.pools import render_bytes
from tests.support.sizes import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

TASK = Rendering(Recipe((Resize(),), Encode(format="jpeg")), Size(200, 120), "jpeg")
PHOTO = pictures.encoded(pictures.detailed(800, 600), "jpeg")
# The worker's own loop beside a heap full of freed blocks, of which the last one holds the end. Requests wait always.
BUSY = """
import socket, sys
from pathlib import Path
from imgserve.imaging import wire
from imgserve.imaging.messages import ProbeRequest, Ready
from imgserve.imaging.worker import __main__ as worker, vips
from imgserve.request.limits import Limits

def own_bytes():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024

vips.configure()
worker.TRIM_EVERY_S = float(sys.argv[1])
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
for _ in range(3):
    wire.send_request(ours, ProbeRequest(False, Limits()), [])
ours.shutdown(socket.SHUT_WR)
blocks = [bytes(50_000) for _ in range(3000)]
del blocks[:-1]
freed = own_bytes()
worker._serve(theirs, Ready(""))
print(freed - own_bytes())
"""

REFUSED: dict[str, Callable[[], tuple[bytes, Operation, list[bytes]]]] = {
    "a line": lambda: (flat(1_000_000, 1), Resize(width=64, height=48, if_small="enlarge"), []),
    "a watermark": lambda: (PHOTO, Composite(ImageRef(name="logo"), width=16_384), [flat(200, 150)]),
}


def flat(width_px: int, height_px: int) -> bytes:
    return pictures.encoded(Image.new("L", (width_px, height_px)), "png")


def given_back(trim_every_s: float) -> int:
    command = [sys.executable, "-c", BUSY, str(trim_every_s)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back on demand")
async def test_a_busy_worker_gives_memory_back_now_and_then() -> None:
    assert given_back(0) > 100_000_000
    assert given_back(PATIENCE_S) < 10_000_000


@pytest_asyncio.fixture(loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(Config(workers=1, render_timeout_s=PATIENCE_S), Limits())
    await pool.start()
    yield pool
    await pool.aclose()


async def render(pool: Pool) -> None:
    assert await render_bytes(pool, PHOTO, TASK)


async def test_a_worker_that_rests_and_has_kept_much_is_renewed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    await render(pool)
    before = set(pool.worker_pids)
    monkeypatch.setattr(stock, "SWOLLEN_BYTES", 1)
    pool.renew_swollen()
    await render(pool)
    pool.renew_swollen()
    assert set(pool.worker_pids) == before  # it was at work since the last look
    pool.renew_swollen()
    assert len(before - set(pool.worker_pids)) == 1
    await render(pool)


async def test_a_worker_that_has_kept_little_stays(pool: Pool) -> None:
    await render(pool)
    before = set(pool.worker_pids)
    pool.renew_swollen()
    pool.renew_swollen()
    assert set(pool.worker_pids) == before


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_picture_is_let_go_of(name: str) -> None:
    """A worker has few descriptors, and the map of each picture takes one."""
    data, operation, further = REFUSED[name]()
    task = Rendering(Recipe((operation,), Encode(format="jpeg")), None, "jpeg")
    pool = Pool(Config(workers=1), Limits())
    await pool.start()
    try:
        for _ in range(3):
            with pytest.raises(PictureTooLarge):
                await render_bytes(pool, data, task, further=further)
        kept = [file for pid in pool.worker_pids for file in open_files(pid) if "memfd:" in file]
    finally:
        await pool.aclose()
    assert kept == []


def open_files(pid: int) -> list[str]:
    return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
