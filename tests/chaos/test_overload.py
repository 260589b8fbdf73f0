"""Far too much at once: memory stays bounded, the rest is told when to come again, and all that was accepted ends."""

import io
import itertools
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from examples.receivers import Behaviour, HttpReceiver
from PIL import Image

from tests.chaos.gauges import Gauge, picture_bytes, resident_bytes
from tests.chaos.lane import KINDS, Lane
from tests.chaos.receiving import RED
from tests.support import pictures
from tests.support.daemon import Reply, wait_until
from tests.support.sizes import PATIENCE_S, Figures, p95, sized

FLOOD_S = sized(1.0, 60.0)
STROKES = sized(12_000, 1_500)  # half a second each where the machine may be busy; for a minute cheaper and more
CALLERS = 16
MAX_WAITING = sized(5, 10)
TENFOLD = 9  # refused for each one that is accepted
MOST_GROWTH_BYTES = 60_000_000
HUGE_JOBS, HUGE_SIDE_PX, MEMORY_BYTES = sized(24, 100), sized(1650, 3700), sized(32_000_000, 256_000_000)


def header(reply: Reply, name: str) -> str:
    return {key.lower(): value for key, value in reply.headers.items()}[name]


def test_ten_times_too_much(tmp_path: Path, figures: Figures) -> None:
    """Renders cost several times what it takes to post a job, so that a busy machine too is asked for too much."""
    slow = dear_drawing()
    switches = {"max_waiting": MAX_WAITING, "svg_timeout_s": PATIENCE_S}
    numbers = itertools.count()
    accepted: list[tuple[int, float]] = []
    refused: list[Reply] = []
    with (
        Lane(tmp_path / "lane", extra_sources={"dear.svg": slow}, switches=switches) as lane,
        ThreadPoolExecutor(CALLERS) as threads,
    ):
        places = [lane.place(kind, f"{kind}-{nth}") for kind in KINDS for nth in range(100)]
        before = resident_bytes(lane.daemon.pid)
        ends_at = time.monotonic() + FLOOD_S

        def is_tenfold() -> bool:
            return len(refused) >= TENFOLD * len(accepted) and len(accepted) > MAX_WAITING

        def flood() -> None:
            while time.monotonic() < ends_at or not (is_tenfold() or time.monotonic() > ends_at + PATIENCE_S):
                number = next(numbers)
                started = time.monotonic()
                job = lane.job(number % 3000, places[number % len(places)], "plain/dear.svg")
                reply = lane.post({**job, "operationType": "rasterize"})
                assert reply is not None
                if "dstURL" in reply.body:
                    accepted.append((number % 3000, time.monotonic() - started))
                else:
                    refused.append(reply)

        with Gauge(lambda: resident_bytes(lane.daemon.pid), 0.1) as memory:
            for caller in [threads.submit(flood) for _ in range(CALLERS)]:
                caller.result()
            lane.until_ended([number for number, _ in accepted])
        most = max(size for _, size in memory.readings)
        assert len(accepted) > MAX_WAITING
        assert len(refused) >= TENFOLD * len(accepted) - CALLERS, "that was no tenfold load"
        for reply in refused:
            assert (reply.status, reply.body["code"]) == (503, 301), reply
            assert 1 <= int(header(reply, "retry-after")) <= 600
        assert most - before < MOST_GROWTH_BYTES
        wait_until(lambda: "queue_full" in lane.daemon.log)
    figures("accepted", len(accepted))
    figures("refused", len(refused))
    figures("accepted, p95 to the reply (s)", round(p95([seconds for _, seconds in accepted]), 2))
    figures("growth (MB)", round((most - before) / 1e6, 1))


def dear_drawing() -> bytes:
    """Many times the CPU of a refusal; red on the left, where the tests look."""
    strokes = " ".join(f"{n * 7919 % 499 + 500},{n * 104729 % 997}" for n in range(STROKES))
    path = f'<path fill="none" stroke="red" stroke-width="40" stroke-linejoin="round" d="M750,0 L{strokes}"/>'
    return pictures.svg(f'<rect width="1000" height="1000" fill="red"/>{path}', 'width="1000" height="1000"')


def test_retry_after_follows_how_fast_jobs_end(tmp_path: Path) -> None:
    started = time.monotonic()
    with Lane(tmp_path / "lane", switches={"max_waiting": 5}) as lane:
        for number in range(20):
            lane.accept(lane.job(number, lane.place("put", f"p{number}"), f"plain/good-{number}.png"))
            lane.until_ended([number])
        for number in range(20, 25):
            lane.accept(lane.job(number, lane.place("put", f"p{number}"), "held/good-held.png"))
        refused = lane.post(lane.job(25, lane.place("put", "p25"), "plain/good-25.png"))
        assert refused is not None
        assert refused.status == 503
        most = 1 + math.ceil((time.monotonic() - started) / 20)
        assert 1 <= int(header(refused, "retry-after")) <= most, "one place is wanted, and twenty jobs have ended"


def test_requests_beyond_those_that_may_wait_are_turned_away(tmp_path: Path) -> None:
    """One is being taken in, one waits for it with its body in memory: of two more that come one must go."""
    switches = {"max_intake": 1, "max_intake_waiting": 1, "placeholder_timeout_s": PATIENCE_S}
    held, go = threading.Event(), threading.Event()

    def hold(path: str, kind: str, _state: str) -> None:
        if path.startswith("/p0/") and kind == "PUT":
            held.set()
            go.wait(PATIENCE_S)

    with Lane(tmp_path / "lane", switches=switches) as lane, ThreadPoolExecutor(3) as threads:
        lane.web.behaviour_of = hold  # type: ignore[method-assign, assignment]
        jobs = [lane.job(n, lane.place("put", f"p{n}"), "plain/good-0.png") for n in range(3)]
        first = threads.submit(lane.post, jobs[0])
        assert held.wait(PATIENCE_S)
        (turned_away,), (waits,) = wait(
            [threads.submit(lane.post, job) for job in jobs[1:]], PATIENCE_S, return_when=FIRST_COMPLETED
        )
        assert not first.done()
        go.set()
        refused = turned_away.result()
        assert refused is not None
        assert (refused.status, refused.body["code"]) == (503, 301)
        assert "requests wait for their reply" in str(refused.body["detail"])
        for taken in (waits, first):
            assert "dstURL" in (taken.result() or refused).body


@contextmanager
def silent(lane: Lane) -> Iterator[str]:
    """A peer of its own that takes whatever is sent and never answers."""
    directory = lane.root / "silent"
    directory.mkdir()
    with HttpReceiver(directory) as receiver:
        receiver.behave("/", Behaviour(never=True))
        yield receiver.url


MOST_OF_A_HOST = 12  # three quarters of the 16 jobs that run at once by default


def test_a_destination_that_never_answers_holds_up_only_its_own_jobs(tmp_path: Path, figures: Figures) -> None:
    """Its jobs would fill all attempts for as long as a delivery may take, and then be charged."""
    switches = {"max_slow_per_host": 4, "delivery_timeout_s": PATIENCE_S}
    with Lane(tmp_path / "lane", switches=switches) as lane, silent(lane) as url:
        for number in range(40):
            job = lane.job(number, lane.place("put", f"p{number}"), f"plain/good-{number}.png")
            lane.accept({**job, "dstURL": f"{url}/{number}.png", "placeholder": "none"})

        def running() -> int:
            return sum(entry.status == "running" for entry in lane.entries(range(40)))

        wait_until(lambda: running() == MOST_OF_A_HOST)
        others = range(40, 60)
        started = time.monotonic()
        for number in others:
            lane.accept(lane.job(number, lane.place(KINDS[number % 4], f"p{number}"), f"plain/good-{number}.png"))
        lane.until_ended(others)
        took_s = time.monotonic() - started
        assert {entry.status for entry in lane.entries(others)} == {"succeeded"}
        held = lane.entries(range(40))
        assert {entry.status for entry in held} == {"queued", "running"}
        assert {entry.attempts for entry in held} == {0}, "a job was charged for its neighbours"
        assert running() <= MOST_OF_A_HOST
    figures("seconds for the others", round(took_s, 1))


def test_replies_do_not_wait_for_renders(tmp_path: Path, figures: Figures) -> None:
    """All render workers have work for as long as they may; probes and placeholders have a worker of their own."""
    switches = {"svg_timeout_s": PATIENCE_S}
    with Lane(tmp_path / "lane", workers=2, extra_sources={"slow.svg": pictures.slow_svg()}, switches=switches) as lane:
        for number in range(4):
            job = lane.job(number, lane.place("put", f"p{number}"), "plain/slow.svg")
            lane.accept({**job, "operationType": "rasterize"})
        wait_until(lambda: {entry.status for entry in lane.entries(range(4))} == {"running"})
        replies: list[float] = []
        for number in range(4, 24):
            started = time.monotonic()
            lane.accept(lane.job(number, lane.place(KINDS[number % 4], f"p{number}"), f"plain/good-{number}.png"))
            replies.append(time.monotonic() - started)
        assert {entry.status for entry in lane.entries(range(4))} == {"running"}, "the workers were not busy"
        assert {entry.status for entry in lane.entries(range(4, 24))} <= {"queued", "running"}
    figures("p95 to the reply (s)", round(p95(replies), 2))


def test_a_hundred_huge_pictures_share_the_memory_that_there_is(tmp_path: Path, figures: Figures) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (HUGE_SIDE_PX, HUGE_SIDE_PX, 3), dtype=np.uint8)
    noise[:, : HUGE_SIDE_PX // 2] = RED
    huge = pictures.encoded(Image.fromarray(noise), "png") if HUGE_SIDE_PX < 2000 else uncompressed(noise)
    assert HUGE_JOBS * len(huge) > 3 * MEMORY_BYTES
    with (
        Lane(
            tmp_path / "lane",
            workers=2,
            extra_sources={"huge.png": huge},
            switches={"source_memory_bytes": MEMORY_BYTES, "render_timeout_s": 60},
        ) as lane,
        ThreadPoolExecutor(CALLERS) as threads,
    ):
        jobs = [lane.job(n, lane.place(KINDS[n % 4], f"p{n}"), "plain/huge.png") for n in range(HUGE_JOBS)]
        turn = threading.Lock()
        with Gauge(lambda: picture_bytes(lane.daemon.pid), 0.02) as memory:

            def accept(job: dict[str, object]) -> None:
                reply = lane.daemon.post(job, timeout_s=300)
                with turn:
                    assert "dstURL" in reply.body, reply.body

            for post in [threads.submit(accept, job) for job in jobs]:
                post.result()
            lane.until_ended(range(HUGE_JOBS), timeout_s=300)
        assert {(entry.status, entry.attempts) for entry in lane.entries(range(HUGE_JOBS))} == {("succeeded", 0)}
        assert lane.faults(range(HUGE_JOBS)) == []
        most = max(size for _, size in memory.readings)
        assert most > MEMORY_BYTES / 2, "the memory was never scarce"
        assert most < MEMORY_BYTES + 5_000_000, "more was held than may be"
    figures("pictures", HUGE_JOBS)
    figures("MB each", round(len(huge) / 1e6, 1))
    figures("most memory in pictures (MB)", round(most / 1e6))


def test_pictures_that_were_refused_give_their_memory_back(tmp_path: Path) -> None:
    """Else the eighth would wait for ever for the memory of those before it."""
    broken = b"<svg xmlns='http://www.w3.org/2000/svg'>" + b"<g>" * 130_000
    switches = {"source_memory_bytes": 3_000_000}
    with Lane(tmp_path / "lane", extra_sources={"broken.svg": broken}, switches=switches) as lane:
        for number in range(24):
            job = lane.job(number, lane.place("put", f"p{number}"), "plain/broken.svg")
            reply = lane.daemon.post({**job, "operationType": "rasterize"})
            assert reply.body["code"] in (204, 206), reply.body


def uncompressed(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=0)
    return out.getvalue()
