"""What the server's processes hold together, at work on what takes most memory and at rest afterwards.

Counted is the proportional set size of the tree (pages that n processes share count 1/n for each).
"""

import io
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bench.processes import pss_mb, tree_pss_mb
from examples.receivers import HttpReceiver
from PIL import Image

from tests.chaos.gauges import Gauge
from tests.support import pictures
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.sizes import Figures, sized

JOBS, GETS = sized(6, 60), sized(12, 240)
MOST_AT_WORK_MB, MOST_AT_REST_MB = 300, 160
# Of it up to 40 are cached pictures and sources.
MOST_AFTER_GETS_MB = 168


def tiled(columns: int, rows: int, kind: str, **options: object) -> bytes:
    """A picture of so many tiles of 1000 x 750."""
    tile = pictures.detailed(1000, 750)
    picture = Image.new("RGB", (columns * 1000, rows * 750))
    for nth in range(columns * rows):
        picture.paste(tile, (nth % columns * 1000, nth // columns * 750))
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def test_memory_at_work_and_at_rest(tmp_path: Path, figures: Figures) -> None:
    sources = {
        "a.avif": tiled(2, 2, "AVIF", quality=95, speed=10),
        "a.png": tiled(2, 2, "PNG", compress_level=1),
        "a.jpg": tiled(4, 4, "JPEG", quality=88),
    }
    root = tmp_path / "http"
    root.mkdir()
    for name, data in sources.items():
        (root / name).write_bytes(data)
    with (
        HttpReceiver(root) as web,
        Daemon(tmp_path / "data", *LOOPBACK, "--workers", "2", may_fork=False) as server,
        Gauge(lambda: tree_pss_mb(server.pid), 0.2) as gauge,
        ThreadPoolExecutor(4) as threads,
    ):

        def post(number: int) -> None:
            name = list(sources)[number % len(sources)]
            target = f"{web.url}/out-{number}.{('avif', 'png', 'jpg')[number // 3 % 3]}"
            args = {"width": 512, "height": 340, "method": "PUT"}
            job = {"operationType": "resize", "srcURL": f"{web.url}/{name}", "dstURL": target, "args": args}
            assert server.post(job).status == 200

        fresh = tree_pss_mb(server.pid)
        list(threads.map(post, range(JOBS)))
        wait_until(lambda: server.log.count("settled") >= JOBS)
        most = max(reading for _, reading in gauge.readings)
        wait_until(lambda: tree_pss_mb(server.pid) <= MOST_AT_REST_MB, 20, 0.5)
        rest = tree_pss_mb(server.pid)
        figures("MB fresh, most, at rest", [round(value) for value in (fresh, most, rest)])
        assert most <= MOST_AT_WORK_MB


def test_memory_behind_many_pictures_for_gets(tmp_path: Path, figures: Figures) -> None:
    """More than the cache may keep in memory, each of some 400 KB."""
    root = tmp_path / "sources"
    root.mkdir()
    (root / "0.jpg").write_bytes(tiled(2, 2, "JPEG", quality=88))
    for number in range(1, GETS):
        (root / f"{number}.jpg").hardlink_to(root / "0.jpg")
    config = tmp_path / "imgserve.toml"
    config.write_text(
        f'read_root = ["{root}"]\n[get.imgproxy]\npath = "/"\nallow_unsigned = true\n'
        f'sources = ["file://{root}/"]\nbase_url = "file://{root}/"\n'
    )
    with (
        Daemon(tmp_path / "data", "--config", str(config), "--workers", "2", may_fork=False) as server,
        Gauge(lambda: tree_pss_mb(server.pid), 0.2) as gauge,
        ThreadPoolExecutor(4) as threads,
    ):

        def get(number: int) -> int:
            with urllib.request.urlopen(f"{server.url}/_/rs:fit:600:600/f:png/plain/{number}.jpg") as answer:
                return len(answer.read())

        made = sum(threads.map(get, range(GETS)))
        most = max(reading for _, reading in gauge.readings)
        wait_until(lambda: tree_pss_mb(server.pid) <= MOST_AFTER_GETS_MB, every_s=0.5)
        rest = tree_pss_mb(server.pid)
        figures("MB made, most, at rest", [round(value) for value in (made / 1e6, most, rest)])
        assert most <= MOST_AT_WORK_MB


def test_refused_pictures_leave_nothing(tmp_path: Path) -> None:
    """Neither an error that was answered nor a connection that was read holds what its client has sent."""
    with Daemon(tmp_path / "data", may_fork=False) as server:

        def refused() -> int:
            headers = {"Content-Type": "image/png"}
            request = urllib.request.Request(f"{server.url}/v1/render?recipe=%7B%7D", bytes(300_000), headers)
            with pytest.raises(urllib.error.HTTPError) as error, urllib.request.urlopen(request):
                pass
            with error.value as answer:
                return answer.code

        assert {refused() for _ in range(20)} == {422}
        before = pss_mb(server.pid)
        assert {refused() for _ in range(100)} == {422}
        assert pss_mb(server.pid) - before < 6
