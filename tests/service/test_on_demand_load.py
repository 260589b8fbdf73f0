"""``POST /v1/render`` under load: clients that hang up or are slow, floods beside jobs, quotas, a server that stops."""

import base64
import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from examples.receivers import Behaviour, HttpReceiver

from tests.service.conftest import put_pictures
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.ondemand import FORM, JPEG, JSON, SMALL, call, form, opened, render, with_recipe
from tests.support.operating import ask
from tests.support.pictures import encoded, scene, slow_svg

PHOTO = encoded(scene(640, 480), "jpeg")
SLOW = slow_svg(20_000)
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


def prepared(top: Path) -> Path:
    put_pictures(top / "read")
    (top / "read" / "slow.svg").write_bytes(SLOW)
    (top / "write").mkdir()
    return top


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return prepared(tmp_path)


class Shared(NamedTuple):
    server: Daemon
    directory: Path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A server with one worker, on which each test leaves nothing behind. Uploads may be slow for a second."""
    top = prepared(tmp_path_factory.mktemp("shared"))
    with serving(top, low_speed_time_s=1, low_speed_bytes_s=1000) as server:
        yield Shared(server, top)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A server with one worker, for so many clients at once, which get AVIF or PNG. No SVG takes long, and no job is
    tried twice.
    """
    top = prepared(tmp_path_factory.mktemp("strict"))
    with serving(
        top,
        *LOOPBACK,
        max_on_demand=FLOOD,
        max_on_demand_waiting=0,
        negotiate="avif,png",
        svg_timeout_s=0.4,
        source_timeout_s=0.4,
        deadline_s=0.4,
    ) as server:
        yield Shared(server, top)


def serving(directory: Path, *arguments: str, workers: int = 1, **switches: object) -> Daemon:
    roots = ("--read-root", str(directory / "read"), "--write-root", str(directory / "write"))
    return Daemon(directory / "data", *roots, *arguments, workers=workers, switches={"svg_timeout_s": 60, **switches})


def test_a_client_that_hangs_up_ends_its_render(shared: Shared) -> None:
    """The one that is at work, and the one that waits for the worker. Others are not disturbed."""
    server = shared.server
    before, at_work = cancelled(server), drawing(server)
    wait_until(lambda: busy(server) == 1)
    waits = drawing(server)
    wait_until(lambda: metric(server, 'waiting_for_worker{role="render"}') == 1)
    waits.close()
    wait_until(lambda: metric(server, 'waiting_for_worker{role="render"}') == 0)
    assert (busy(server), cancelled(server)) == (1, before)
    at_work.close()
    wait_until(lambda: (busy(server), cancelled(server)) == (0, before + 1))
    assert call(server, PHOTO, JPEG, with_recipe(SMALL)).picture.size == (200, 120)
    wait_until(lambda: metric(server, "source_memory_bytes") == 0)


def test_a_client_that_hangs_up_in_its_upload_leaves_nothing(shared: Shared) -> None:
    server = shared.server
    half = opened(server, {**JPEG, "Content-Length": str(len(PHOTO))}, with_recipe(SMALL), PHOTO[:20_000])
    wait_until(lambda: metric(server, "source_memory_bytes") == len(PHOTO))
    half.close()
    wait_until(lambda: metric(server, "source_memory_bytes") == 0)
    wait_until(lambda: "code=body_cut_off" in server.log)


def test_a_slow_upload_is_ended(shared: Shared) -> None:
    server = shared.server
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


FLOOD = 6


def waiting(server: Daemon) -> float:
    return metric(server, 'waiting_for_worker{role="render"}')


def job(directory: Path, source: str, name: str, operation: str) -> dict[str, object]:
    return {
        "operationType": operation, "srcURL": f"file://{directory}/read/{source}", "placeholder": "none",
        "dstURL": f"file://{directory}/write/{name}", "args": {"width": 900, "height": 900},
    }  # fmt: skip


def test_a_job_does_not_wait_for_a_flood_of_renders(strict: Shared) -> None:
    """Each render has the only worker until it is ended."""
    server, directory = strict
    with ThreadPoolExecutor(FLOOD) as threads:
        flood = [threads.submit(call, server, SLOW, SVG, DRAWN) for _ in range(FLOOD)]
        wait_until(lambda: waiting(server) >= 3)
        before = sum(render.done() for render in flood)
        small = job(directory, "photo.jpg", "a.jpg", "resize") | {"args": {"width": 20, "height": 10}}
        assert "dstURL" in server.post(small).body
        wait_until((directory / "write" / "a.jpg").exists)
        assert sum(render.done() for render in flood) - before <= 3
        assert {render.result().status for render in flood} <= {503, 504}


def failed(server: Daemon) -> int:
    return len(ask(server.data_dir, "GET", "/v1/jobs?status=failed").body["jobs"])


def test_a_render_does_not_wait_for_a_flood_of_jobs(strict: Shared) -> None:
    server, directory = strict
    with ThreadPoolExecutor(FLOOD) as threads:
        jobs = [job(directory, "slow.svg", f"{number}.png", "rasterize") for number in range(FLOOD)]
        assert all("dstURL" in reply.body for reply in threads.map(server.post, jobs))
    before = failed(server)
    assert FLOOD - before >= 2, "the flood is over before it is tried"
    assert call(server, PHOTO, JPEG, with_recipe(SMALL)).status == 200
    assert failed(server) - before <= 2
    wait_until(lambda: failed(server) == FLOOD)


def test_a_render_that_takes_too_long_is_a_time_out(strict: Shared) -> None:
    server = strict.server
    reply = call(server, SLOW, SVG, DRAWN)
    assert (reply.status, reply.problem["code"], reply.faults) == (
        504,
        "render_timeout",
        [("source", "render_timeout")],
    )


@pytest.fixture
def keys(directory: Path) -> Path:
    (directory / "keys").write_text(f"one:{A_KEY}\nother:{B_KEY}\n")
    return directory / "keys"


def test_each_key_has_its_quota(directory: Path, keys: Path) -> None:
    with serving(
        directory, "--api-key-file", str(keys), max_on_demand=4, max_on_demand_waiting=0, queue_quota=0.5
    ) as server:
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


def test_a_source_that_is_silent_is_a_time_out(strict: Shared) -> None:
    with HttpReceiver(strict.directory / "read") as web:
        web.behave("/", Behaviour(never=True))
        reply = render(strict.server, {"source": f"{web.url}/photo.jpg", **SMALL})
        assert (reply.status, reply.problem["code"]) == (504, "source_unavailable")
        by_url = call(strict.server, None, {}, f"/v1/info?url={web.url}/photo.jpg", "GET")
        assert by_url.status == 504


def test_the_server_takes_so_many_and_no_more(strict: Shared) -> None:
    server, head = strict.server, {**JPEG, "Content-Length": str(len(PHOTO))}
    halves = [opened(server, head, with_recipe(SMALL), PHOTO[:2_000]) for _ in range(FLOOD)]
    wait_until(lambda: metric(server, "source_memory_bytes") == FLOOD * len(PHOTO))
    refused = call(server, PHOTO, JPEG, with_recipe(SMALL))
    assert (refused.status, refused.problem["code"]) == (503, "on_demand_full")
    for half in halves:
        half.close()
    wait_until(lambda: metric(server, "source_memory_bytes") == 0)


def test_a_request_waits_for_a_slot_unless_its_client_leaves(directory: Path) -> None:
    """Its picture is read when it has the slot."""

    def is_waiting(count: int) -> None:
        wait_until(lambda: metric(server, 'on_demand{state="waiting"}') == count)

    head = {**JPEG, "Content-Length": str(len(PHOTO))}
    asked = json.dumps({"source": f"file://{directory}/read/photo.jpg", **SMALL}).encode()
    json_head = {"Content-Type": "application/json", "Content-Length": str(len(asked))}
    with serving(directory, max_on_demand=1, max_on_demand_waiting=2) as server, ThreadPoolExecutor(1) as threads:
        half = opened(server, head, with_recipe(SMALL), PHOTO[:20_000])
        wait_until(lambda: metric(server, "source_memory_bytes") == len(PHOTO))
        waits = threads.submit(call, server, PHOTO, JPEG, with_recipe(SMALL))
        is_waiting(1)
        gone = opened(server, json_head, "/v1/render", asked)
        is_waiting(2)
        assert call(server, PHOTO, JPEG, with_recipe(SMALL)).problem["code"] == "on_demand_full"
        gone.close()
        is_waiting(1)
        assert metric(server, "source_memory_bytes") == len(PHOTO)
        half.sendall(PHOTO[20_000:])
        assert waits.result().picture.size == (200, 120)
        half.close()


def test_a_picture_inside_its_json_waits_for_no_slot(directory: Path) -> None:
    """It is in memory already."""
    inline = {"source": "data:image/jpeg;base64," + base64.b64encode(PHOTO).decode(), **SMALL}
    with serving(directory, max_on_demand=1, max_on_demand_waiting=2) as server:
        at_work = drawing(server)
        wait_until(lambda: busy(server) == 1)
        for target in ("/v1/render", "/v1/info"):
            body = inline if target == "/v1/render" else {"source": inline["source"]}
            refused = call(server, json.dumps(body).encode(), JSON, target)
            assert (refused.status, refused.problem["code"]) == (503, "on_demand_full")
        assert busy(server) == 1, "none has waited for that"
        at_work.close()
        wait_until(lambda: busy(server) == 0)
        assert render(server, inline).picture.size == (200, 120)


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


def test_what_a_client_may_negotiate_is_a_setting(strict: Shared) -> None:
    server = strict.server
    accept = {"Accept": "image/webp;q=0.9,image/avif,image/png,*/*;q=0.1"}
    assert call(server, PHOTO, {**JPEG, **accept}, with_recipe(SMALL)).picture.format == "AVIF"
