"""What settings change, seen from outside: the real server, each case beside its twin on the defaults."""

import io
import json
import random
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from examples.receivers import Behaviour, HttpReceiver
from PIL import Image

from tests.chaos.judge import entries_of
from tests.chaos.sources import Sources
from tests.support.daemon import LOOPBACK, Daemon, Reply, wait_until
from tests.support.pictures import encoded, scene, slow_svg, svg

LIMITS = {
    "max_job_bytes": 2000, "max_source_bytes": 30_000, "max_svg_bytes": 1000, "max_frame_pixels": 100_000,
    "max_frames": 3, "max_total_pixels": 150_000, "max_output_pixels": 50_000, "max_output_side_px": 400,
}  # fmt: skip


class Place:
    """A directory that may be read and written, with pictures for every limit."""

    def __init__(self, top: Path) -> None:
        self.top = top
        noise = Image.frombytes("L", (200, 200), random.Random(1).randbytes(40_000))
        self.put("large.png", encoded(noise, "png"))
        self.put("large.svg", svg(f"<!-- {'x' * 1000} -->"))
        self.put("wide.png", encoded(Image.new("L", (400, 300)), "png"))
        self.put("four.gif", animated(4, 20))
        self.put("three.gif", animated(3, 250))
        self.put("small.png", encoded(scene(60, 40), "png"))
        self.put("photo.png", encoded(scene(120, 90), "png"))

    def put(self, name: str, data: bytes) -> None:
        (self.top / name).write_bytes(data)

    def job(self, source: str, name: str = "out.png", **args: object) -> dict[str, object]:
        """``source`` is a file here, or a URL."""
        return {
            "operationType": "rasterize" if source.endswith("svg") else "resize",
            "srcURL": source if "://" in source else f"file://{self.top}/{source}",
            "dstURL": name if "://" in name else f"file://{self.top}/{name}",
            "args": {"width": 10, "height": 10, **args},
        }

    def server(self, settings: Mapping[str, object]) -> Daemon:
        roots = ("--read-root", str(self.top), "--write-root", str(self.top))
        return Daemon(self.top / "data", *LOOPBACK, *roots, switches=settings)


def animated(frames: int, side_px: int) -> bytes:
    out = io.BytesIO()
    pictures = [Image.new("L", (side_px, side_px), 40 * number) for number in range(frames)]
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:])
    return out.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def refusals(place: Place, server: Daemon) -> Iterator[tuple[str, Reply]]:
    """One job for each limit, which no other limit of LIMITS refuses."""
    yield "max_job_bytes", server.post(json.dumps(place.job("small.png")).encode() + b" " * 2000)
    yield "max_source_bytes", server.post(place.job("large.png"))
    yield "max_svg_bytes", server.post(place.job("large.svg"))
    yield "max_frame_pixels", server.post(place.job("wide.png"))
    yield "max_frames", server.post(place.job("four.gif"))
    yield "max_total_pixels", server.post(place.job("three.gif"))
    yield "max_output_pixels", server.post(place.job("small.png", width=300, height=200, enlarge=True))
    yield "max_output_side_px", server.post(place.job("small.png", width=500, height=10, enlarge=True))


def test_limits(place: Place) -> None:
    codes = {"max_job_bytes": None, "max_output_pixels": 107, "max_output_side_px": 107}
    with place.server(LIMITS) as server:
        found = dict(refusals(place, server))
        assert list(found) == list(LIMITS)
        for name, reply in found.items():
            assert reply.body.get("code") == codes.get(name, 206), (name, reply)
        assert found["max_job_bytes"].status == 413
        assert server.stop() == 0
    with place.server({}) as server:
        for name, reply in refusals(place, server):
            assert "dstURL" in reply.body, (name, reply)


def test_qualities_of_jobs_that_name_none(place: Place) -> None:
    qualities = {"jpeg": 20, "webp": 21, "avif": 22}
    with place.server({f"{kind}_quality": quality for kind, quality in qualities.items()}) as server:
        for kind, quality in qualities.items():
            server.post(place.job("photo.png", f"none.{kind}", width=100, height=75))
            server.post(place.job("photo.png", f"same.{kind}", width=100, height=75, quality=quality))
            server.post(place.job("photo.png", f"other.{kind}", width=100, height=75, quality=80))
        wait_until(lambda: server.log.count("ends=delivered") == 9)
    for kind in qualities:
        none, same, other = ((place.top / f"{name}.{kind}").read_bytes() for name in ("none", "same", "other"))
        assert none == same
        assert none != other


def test_the_profile_of_jobs_that_name_none(place: Place) -> None:
    with place.server({"render_profile": "quality"}) as server:
        server.post(place.job("photo.png", "none.webp", width=100, height=75))
        for profile in ("quality", "balanced"):
            server.post(place.job("photo.png", f"{profile}.webp", width=100, height=75, render_profile=profile))
        wait_until(lambda: server.log.count("ends=delivered") == 3)
    none, same, other = ((place.top / f"{name}.webp").read_bytes() for name in ("none", "quality", "balanced"))
    assert none == same
    assert none != other


def test_times_of_workers_and_no_sandbox(place: Place) -> None:
    times = {"render_timeout_s": 0.0001, "svg_timeout_s": 0.0001, "retry_delay_s": 0.001, "sandbox": "off"}
    # A worker that is quicker than a busy server's clock has answered before its time is over.
    place.put("slow.png", encoded(scene(2000, 1500), "png"))
    place.put("slow.svg", slow_svg(20_000))
    with place.server(times) as server:
        for source in ("slow.png", "slow.svg"):
            assert "dstURL" in server.post(place.job(source, f"{source}.png")).body
        wait_until(lambda: [entry.error for entry in entries_of(server.data_dir)] == ["render_timeout"] * 2)
        with urllib.request.urlopen(server.url + "/health", timeout=10) as answer:
            assert json.loads(answer.read())["sandbox"].startswith("off")
    with place.server({"probe_timeout_s": 0.0001}) as server:
        assert "was not finished after 0.0001 seconds" in str(server.post(place.job("photo.png")).body["detail"])


def test_a_render_has_more_time_than_an_svg(place: Place) -> None:
    place.put("slow.svg", slow_svg(20_000))
    with place.server({"svg_timeout_s": 0.0001, "retry_delay_s": 0.001}) as server:
        for source in ("photo.png", "slow.svg"):
            server.post(place.job(source, f"{source}.png"))
        wait_until(lambda: [entry.status for entry in entries_of(server.data_dir)] == ["succeeded", "failed"])


def test_a_placeholder_that_is_not_answered_holds_up_the_reply_for_its_time(place: Place) -> None:
    (place.top / "web").mkdir()
    with HttpReceiver(place.top / "web") as web, place.server({"placeholder_timeout_s": 0.3}) as server:
        web.behave("/", Behaviour(never=True, kinds=("PUT",)))
        started = time.monotonic()
        assert "dstURL" in server.post(place.job("photo.png", f"{web.url}/a.png", method="PUT")).body
        assert 0.3 <= time.monotonic() - started < 5


def test_jobs_taken_in_and_under_way_one_at_a_time(place: Place) -> None:
    (place.top / "web").mkdir()
    with (
        HttpReceiver(place.top / "web") as web,
        Sources() as sources,
        ThreadPoolExecutor(2) as threads,
        place.server({"max_intake": 1, "max_attempts_at_once": 1}) as server,
    ):
        web.behave("/slow.png", Behaviour(delay_s=1, kinds=("PUT",), times=1))
        slow = threads.submit(server.post, place.job("photo.png", f"{web.url}/slow.png", method="PUT"))
        assert web.log.wait_for(lambda events: len(events) == 1)
        taken_at = web.log.all()[0].at
        assert "dstURL" in server.post(place.job("photo.png")).body
        assert time.monotonic() - taken_at >= 1, "the second was answered before the first"
        assert "dstURL" in slow.result().body
        wait_until(lambda: server.log.count("ends=delivered") == 2)
        for name in ("good-1.png", "good-2.png"):
            server.post(place.job(f"{sources.url}/held/{name}", name))
        wait_until(lambda: [entry.status for entry in entries_of(server.data_dir)][2:] == ["running", "queued"])
        sources.release("good-1.png")
        wait_until(lambda: [entry.status for entry in entries_of(server.data_dir)][2:] == ["succeeded", "running"])
        sources.release("good-2.png")
        wait_until(lambda: server.log.count("ends=delivered") == 4)


@pytest.mark.parametrize(("settings", "status"), [({"deadline_s": 1}, "failed"), ({}, "queued")])
def test_no_attempt_after_the_deadline(place: Place, settings: Mapping[str, object], status: str) -> None:
    with Sources() as sources, place.server(settings) as server:
        assert "dstURL" in server.post(place.job(f"{sources.url}/held/good-1.png")).body
        sources.break_off("good-1.png")
        wait_until(lambda: "settled" in server.log)
        (entry,) = entries_of(server.data_dir)
        assert (entry.status, entry.error) == (status, "deadline" if settings else "source_unavailable")
