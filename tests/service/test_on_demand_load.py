"""``POST /v1/render`` under load: clients that hang up or are slow, floods beside jobs, quotas, a server that stops."""

import json
import re
import socket
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.service.conftest import put_pictures
from tests.support.daemon import Daemon, wait_until
from tests.support.ondemand import FORM, JPEG, SMALL, call, form, opened, with_recipe
from tests.support.pictures import encoded, scene, slow_svg

PHOTO = encoded(scene(640, 480), "jpeg")
SLOW = slow_svg(200_000)
SVG = {"Content-Type": "image/svg+xml"}
DRAWN = with_recipe({"operations": [{"operation": "rasterize", "width": 1000, "height": 1000}]})
A_KEY, B_KEY = "the-key-of-the-one-1", "the-key-of-the-other-1"


def metric(server: Daemon, name: str, key: str = A_KEY) -> float:
    request = urllib.request.Request(server.url + "/metrics", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        seen = re.search(rf"^imgserve_{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(seen[1]) if seen else 0.0


def busy(server: Daemon) -> float:
    return metric(server, 'workers{role="render",state="busy"}')


def cancelled(server: Daemon) -> float:
    return metric(server, 'worker_ends_total{cause="cancelled"}')


def drawing(server: Daemon) -> socket.socket:
    """A client whose picture takes seconds."""
    return opened(server, {**SVG, "Content-Length": str(len(SLOW))}, DRAWN, SLOW)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    put_pictures(tmp_path / "read")
    (tmp_path / "write").mkdir()
    return tmp_path


def serving(directory: Path, *arguments: str, workers: int = 1, **switches: object) -> Daemon:
    roots = ("--read-root", str(directory / "read"), "--write-root", str(directory / "write"))
    return Daemon(directory / "data", *roots, *arguments, workers=workers, switches={"svg_timeout_s": 60, **switches})


def test_a_client_that_hangs_up_ends_its_render(directory: Path) -> None:
    """The one that is at work, and the one that waits for the worker. Others are not disturbed."""
    with serving(directory) as server:
        at_work = drawing(server)
        wait_until(lambda: busy(server) == 1)
        waits = drawing(server)
        wait_until(lambda: metric(server, 'waiting_for_worker{role="render"}') == 1)
        waits.close()
        wait_until(lambda: metric(server, 'waiting_for_worker{role="render"}') == 0)
        assert (busy(server), cancelled(server)) == (1, 0)
        at_work.close()
        wait_until(lambda: (busy(server), cancelled(server)) == (0, 1))
        assert call(server, PHOTO, JPEG, with_recipe(SMALL)).picture.size == (200, 120)
        wait_until(lambda: metric(server, "source_memory_bytes") == 0)


def test_a_client_that_hangs_up_in_its_upload_leaves_nothing(directory: Path) -> None:
    with serving(directory) as server:
        half = opened(server, {**JPEG, "Content-Length": str(len(PHOTO))}, with_recipe(SMALL), PHOTO[:20_000])
        wait_until(lambda: metric(server, "source_memory_bytes") == len(PHOTO))
        half.close()
        wait_until(lambda: metric(server, "source_memory_bytes") == 0)
        wait_until(lambda: "code=body_cut_off" in server.log)


def test_a_slow_upload_is_ended(directory: Path) -> None:
    with serving(directory, low_speed_time_s=1, low_speed_bytes_s=1000) as server:
        body = form(("job", json.dumps({"source": {"upload": "a"}, **SMALL}).encode()), ("a", PHOTO))
        slow = [
            opened(server, {**head, "Content-Length": str(len(data))}, target, data[:2_000])
            for head, target, data in ((JPEG, with_recipe(SMALL), PHOTO), (FORM, "/v1/render", body))
        ]
        steady = opened(server, {**JPEG, "Content-Length": str(len(PHOTO))}, with_recipe(SMALL))
        piece = 1 + len(PHOTO) // 5
        for at in range(0, len(PHOTO), piece):
            steady.sendall(PHOTO[at : at + piece])
            time.sleep(0.3)  # in all longer than an upload may be slow
        assert steady.recv(12) == b"HTTP/1.1 200"
        steady.close()
        for client in slow:
            answer = b"".join(iter(lambda: client.recv(65_536), b""))  # noqa: B023 - it is called here
            client.close()
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"less than 1,000 bytes in 1 s" in answer


def test_an_upload_waits_for_memory(directory: Path) -> None:
    with serving(directory, source_memory_bytes=len(PHOTO) + 1000) as server, ThreadPoolExecutor(1) as threads:
        half = opened(server, {**JPEG, "Content-Length": str(len(PHOTO))}, with_recipe(SMALL), PHOTO[:20_000])
        wait_until(lambda: metric(server, "source_memory_bytes") == len(PHOTO))
        waits = threads.submit(call, server, PHOTO, JPEG, with_recipe(SMALL))
        time.sleep(0.2)
        assert not waits.done()
        half.sendall(PHOTO[20_000:])
        assert half.recv(12) == b"HTTP/1.1 200"
        assert waits.result().status == 200
        half.close()


def test_a_client_does_not_wait_for_ever(directory: Path) -> None:
    """Neither for a worker, nor for memory. Both waits last five seconds."""
    large = PHOTO[:2] + b"\xff\xfe\xff\xff" + b" " * 0xFFFD + PHOTO[2:]
    budget = len(SLOW) + len(PHOTO) + 1000  # the large one has no room, even when the small one has given up
    with serving(directory, source_memory_bytes=budget) as server, ThreadPoolExecutor(2) as threads:
        at_work = drawing(server)
        wait_until(lambda: busy(server) == 1)
        for_worker = threads.submit(call, server, PHOTO, JPEG, with_recipe(SMALL))
        wait_until(lambda: metric(server, "source_memory_bytes") == len(SLOW) + len(PHOTO))
        for_memory = threads.submit(call, server, large, JPEG, with_recipe(SMALL))
        for waits, code in ((for_worker, "no_worker"), (for_memory, "transfers_busy")):
            refused = waits.result()
            assert (refused.status, refused.problem["code"]) == (503, code)
            assert refused.headers["retry-after"] == "5"
            assert refused.problem["retryable"] is True
        at_work.close()


def test_an_upload_that_is_too_long_is_refused_unread(directory: Path) -> None:
    with serving(directory, max_source_bytes=len(PHOTO) - 1) as server:
        chunked = {**JPEG, "Transfer-Encoding": "chunked"}
        body = form(("job", json.dumps({"source": {"upload": "a"}, **SMALL}).encode()), ("a", PHOTO))
        replies = [
            call(server, PHOTO, JPEG, with_recipe(SMALL)),
            call(server, b"%x\r\n%b\r\n0\r\n\r\n" % (len(PHOTO), PHOTO), chunked, with_recipe(SMALL)),
            call(server, body, FORM),
        ]
        assert [(reply.status, reply.problem["code"]) for reply in replies] == [(413, "body_too_large")] * 3


LARGE = encoded(scene(2000, 1500), "jpeg")
COSTLY = with_recipe(
    {"operations": [{"operation": "resize", "width": 900, "height": 700}], "encode": {"format": "avif"}}
)
FLOOD = 12


def job(directory: Path, name: str, width: int, height: int) -> dict[str, object]:
    return {
        "operationType": "resize", "srcURL": f"file://{directory}/read/large.jpg",
        "dstURL": f"file://{directory}/write/{name}", "args": {"width": width, "height": height}, "placeholder": "none",
    }  # fmt: skip


def waiting(server: Daemon) -> float:
    return metric(server, 'waiting_for_worker{role="render"}')


def test_a_job_does_not_wait_for_a_flood_of_renders(directory: Path) -> None:
    (directory / "read" / "large.jpg").write_bytes(LARGE)
    with serving(directory) as server, ThreadPoolExecutor(FLOOD) as threads:
        flood = [threads.submit(call, server, LARGE, JPEG, COSTLY) for _ in range(FLOOD)]
        wait_until(lambda: waiting(server) == FLOOD - 1)
        assert "dstURL" in server.post(job(directory, "a.jpg", 20, 10)).body
        wait_until((directory / "write" / "a.jpg").exists)
        assert sum(render.done() for render in flood) <= 6
        assert {render.result().status for render in flood} == {200}


def test_a_render_does_not_wait_for_a_flood_of_jobs(directory: Path) -> None:
    (directory / "read" / "large.jpg").write_bytes(LARGE)
    with serving(directory) as server:
        for number in range(FLOOD):
            assert "dstURL" in server.post(job(directory, f"{number}.avif", 900, 700)).body
        wait_until(lambda: waiting(server) >= FLOOD // 2)
        before = len(list((directory / "write").glob("*.avif")))
        assert call(server, PHOTO, JPEG, with_recipe(SMALL)).status == 200
        assert len(list((directory / "write").glob("*.avif"))) - before <= 3
        wait_until(lambda: len(list((directory / "write").glob("*.avif"))) == FLOOD)


def test_a_render_that_takes_too_long_is_a_time_out(directory: Path) -> None:
    with serving(directory, svg_timeout_s=0.3) as server:
        reply = call(server, SLOW, SVG, DRAWN)
        assert (reply.status, reply.problem["code"]) == (504, "render_timeout")


@pytest.fixture
def keys(directory: Path) -> Path:
    (directory / "keys").write_text(f"one:{A_KEY}\nother:{B_KEY}\n")
    return directory / "keys"


def test_each_key_has_its_quota(directory: Path, keys: Path) -> None:
    with serving(directory, "--api-key-file", str(keys), max_on_demand=4, queue_quota=0.5) as server:
        of_one, of_other = ({"Authorization": f"Bearer {key}"} for key in (A_KEY, B_KEY))
        head = {**JPEG, "Content-Length": str(len(PHOTO))}
        clients = [opened(server, {**head, **of_one}, with_recipe(SMALL)) for _ in range(2)]
        wait_until(lambda: metric(server, "source_memory_bytes") == 2 * len(PHOTO))
        refused = call(server, PHOTO, {**JPEG, **of_one}, with_recipe(SMALL))
        assert (refused.status, refused.problem["code"]) == (429, "on_demand_quota_full")
        assert int(refused.headers["retry-after"]) >= 1
        assert call(server, PHOTO, {**JPEG, **of_other}, with_recipe(SMALL)).status == 200
        assert call(server, PHOTO, JPEG, with_recipe(SMALL)).status == 401
        for client in clients:
            client.close()


def test_the_server_takes_so_many_and_no_more(directory: Path) -> None:
    with serving(directory, max_on_demand=1) as server:
        half = opened(server, {**JPEG, "Content-Length": str(len(PHOTO))}, with_recipe(SMALL), PHOTO[:20_000])
        wait_until(lambda: metric(server, "source_memory_bytes") == len(PHOTO))
        refused = call(server, PHOTO, JPEG, with_recipe(SMALL))
        assert (refused.status, refused.problem["code"]) == (503, "on_demand_full")
        half.close()


def test_a_server_that_stops_finishes_what_clients_wait_for(directory: Path) -> None:
    with serving(directory) as server:
        half = opened(server, {**JPEG, "Content-Length": str(len(PHOTO))}, with_recipe(SMALL), PHOTO[:20_000])
        wait_until(lambda: metric(server, "source_memory_bytes") == len(PHOTO))
        with ThreadPoolExecutor(1) as threads:
            stopping = threads.submit(server.stop)
            wait_until(lambda: "draining" in server.log)
            refused = call(server, PHOTO, JPEG, with_recipe(SMALL))
            assert (refused.status, refused.problem["code"]) == (503, "draining")
            assert not stopping.done()
            half.sendall(PHOTO[20_000:])
            assert half.recv(12) == b"HTTP/1.1 200"
            assert stopping.result() == 0
        half.close()


def test_what_a_client_may_negotiate_is_a_setting(directory: Path) -> None:
    with serving(directory, negotiate="avif,png") as server:
        accept = {"Accept": "image/webp;q=0.9,image/avif,image/png,*/*;q=0.1"}
        assert call(server, PHOTO, {**JPEG, **accept}, with_recipe(SMALL)).picture.format == "AVIF"
