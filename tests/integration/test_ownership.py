"""Picture memory has owners, who free it at once: no path needs the garbage collector, or an error's frames to go."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import FrameType

import pytest

from imgserve.blob import Blob
from imgserve.engine.config import AttemptConfig
from imgserve.imaging.faults import WorkerDied
from imgserve.request.classic.destination import parse_destination
from imgserve.request.encode import Encode
from imgserve.request.imageref import ImageRef
from imgserve.request.job import JobRequest, OutputRequest
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.resize import Resize
from imgserve.request.principal import Principal
from imgserve.request.recipe import Recipe
from imgserve.request.source import parse_source
from tests.support import pictures
from tests.support.memfds import open_blobs
from tests.support.plant import Plant, plant, put_to
from tests.support.queues import claimed
from tests.support.sizes import PATIENCE_S
from tests.support.stalling import LONG_S, Receiver

ANYBODY = Principal("@local", "local")


@pytest.fixture
def frames() -> Iterator[list[FrameType]]:
    """All frames that an exception has come through. They stay, with all that is in them."""
    kept: list[FrameType] = []

    def trace(frame: FrameType, event: str, _detail: object) -> object:
        frame.f_trace_lines = False
        if event == "exception":
            kept.append(frame)
        return trace

    gc.disable()
    sys.settrace(trace)  # type: ignore[arg-type]
    yield kept
    sys.settrace(None)
    gc.enable()


@pytest.fixture
async def made(tmp_path: Path, frames: list[FrameType]) -> AsyncIterator[Plant]:
    """Asserts at the end of each test that no handle is left, while the frames are there still."""
    async with plant(tmp_path) as opened, asyncio.timeout(LONG_S):
        yield opened
    assert open_blobs() == 0
    assert frames


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver.listening() as opened:
        yield opened


async def ends_of(made: Plant) -> list[str]:
    """Of one attempt."""
    return [result.status for result in (await made.attempts.run(await claimed(made.queue, time.time()))).results]


async def until_workers_hold(made: Plant) -> None:
    while not any(lane.busy for lane in made.pool.staffing()):  # noqa: ASYNC110 - a pool has no event for this
        await asyncio.sleep(0)


def send(made: Plant, number: int) -> None:
    for pid in made.pool.worker_pids:
        os.kill(pid, number)


async def test_success(made: Plant) -> None:
    await made.released(made.file("a.png"), made.file("b.png"))
    assert await ends_of(made) == ["delivered", "delivered"]
    assert (made.transfers.budget.held, open_blobs()) == (0, 0)
    await fail_once(made)


async def fail_once(made: Plant) -> None:
    """So that there are frames to be kept."""
    made.source.unlink()
    await made.released(made.file("c.png"))
    assert await ends_of(made) == ["failed"]
    assert (made.transfers.budget.held, open_blobs()) == (0, 0)


async def test_a_source_that_cannot_be_read(made: Plant) -> None:
    made.source.write_bytes(made.source.read_bytes()[:200])
    await made.released(made.file("a.png"), made.file("b.png"))
    assert await ends_of(made) == ["failed", "failed"]
    assert (made.transfers.budget.held, open_blobs()) == (0, 0)


async def test_a_worker_that_is_killed(made: Plant) -> None:
    await made.released(made.file("a.png"))
    send(made, signal.SIGSTOP)
    attempt = asyncio.create_task(ends_of(made))
    await until_workers_hold(made)
    assert made.transfers.budget.held == made.source.stat().st_size
    send(made, signal.SIGKILL)
    assert await attempt == ["retry"]
    assert (made.transfers.budget.held, open_blobs()) == (0, 0)


@pytest.mark.parametrize("outputs", [1, 3])
async def test_an_attempt_that_is_cancelled_while_it_renders(made: Plant, outputs: int) -> None:
    await made.released(*(made.file(f"{number}.png") for number in range(outputs)))
    send(made, signal.SIGSTOP)
    attempt = asyncio.create_task(ends_of(made))
    await until_workers_hold(made)
    attempt.cancel()
    await asyncio.wait([attempt])
    assert attempt.cancelled()
    assert (made.transfers.budget.held, open_blobs()) == (0, 0)


async def test_cancelled_at_every_step(made: Plant, receiver: Receiver) -> None:
    """Also where a task has been made that has not begun, and where one is being ended already."""
    for step in range(60):
        await made.released(made.file(f"{step}.png"), made.file(f"{step}-other.png"), put_to(receiver.port, f"{step}"))
        claim = await claimed(made.queue, time.time())
        attempt = asyncio.create_task(made.attempts.run(claim))
        for _ in range(step):
            await asyncio.sleep(0)
        attempt.cancel()
        attempt.cancel()
        await asyncio.wait([attempt])
        while open_blobs():  # noqa: ASYNC110 - a thread that writes a file may have to end
            await asyncio.sleep(0.001)
        assert made.transfers.budget.held == 0, step
        await made.queue.settle(made.attempts.failed(claim, WorkerDied("gone")), time.time())


async def test_a_delivery_that_is_cancelled(made: Plant, receiver: Receiver) -> None:
    await made.released(put_to(receiver.port, "a.png"))
    receiver.stall()
    attempt = asyncio.create_task(ends_of(made))
    await receiver.until_came(1)
    assert (made.transfers.budget.held, open_blobs()) == (0, 1), "a delivery needs the result alone"
    attempt.cancel()
    await asyncio.wait([attempt])
    assert open_blobs() == 0


async def test_a_deadline_and_a_kept_rendition(made: Plant, receiver: Receiver) -> None:
    made.attempts = made.new_attempts(AttemptConfig(delivery_timeout_s=0.3))
    await made.released(put_to(receiver.port, "a.png"))
    receiver.stall()
    claim = await claimed(made.queue, time.time())
    done = await made.attempts.run(claim)
    assert [result.status for result in done.results] == ["retry"]
    assert (made.transfers.budget.held, open_blobs()) == (0, 1), "the rendition is kept"
    await made.queue.settle(done, time.time())
    receiver.go()
    again = await made.attempts.run(await claimed(made.queue, time.time() + 30))
    assert [result.status for result in again.results] == ["delivered"]
    assert open_blobs() == 0


async def test_the_deadline_of_an_attempt(made: Plant, receiver: Receiver) -> None:
    receiver.stall()
    entry = await made.released(put_to(receiver.port, "a.png"))
    runner = made.runner(attempt_timeout_s=0.5)
    runner.start()
    while open_blobs() or not receiver.log:  # noqa: ASYNC110 - descriptors have no event for this
        await asyncio.sleep(0.01)
    await runner.stop(LONG_S)
    assert made.house.statuses() == {entry.number: "queued"}
    assert made.transfers.budget.held == 0


async def test_a_stop_in_the_middle(made: Plant, receiver: Receiver) -> None:
    receiver.stall()
    await made.released(put_to(receiver.port, "a.png"))
    await made.released(made.file("b.png"))
    send(made, signal.SIGSTOP)
    runner = made.runner()
    runner.start()
    await until_workers_hold(made)
    await runner.stop(0.0)
    async with asyncio.timeout(PATIENCE_S):
        while open_blobs():  # noqa: ASYNC110 - a thread that was reading may have to end
            await asyncio.sleep(0.01)
    assert made.transfers.budget.held == 0


async def test_renders_that_are_shared(made: Plant) -> None:
    """Four equal outputs are one render, whose result all of them deliver."""
    await made.released(*(made.file(f"{number}.png") for number in range(4)))
    send(made, signal.SIGSTOP)
    attempt = asyncio.create_task(ends_of(made))
    await until_workers_hold(made)
    assert open_blobs() == 2, "one source and one result"
    send(made, signal.SIGCONT)
    assert await attempt == ["delivered"] * 4
    assert (made.transfers.budget.held, open_blobs()) == (0, 0)
    await fail_once(made)


async def test_what_a_probe_began(made: Plant) -> None:
    """One of two jobs takes it; what is for nobody any more is freed at once."""
    intake = made.intake()
    recipe = Recipe((Resize(width=8, height=8),), Encode(format="png"))
    source = parse_source(f"file://{made.source}")
    size_bytes = made.source.stat().st_size
    for number, name in enumerate(("a.png", "b.png", "a.png")):
        place = parse_destination(f"file://{made.out / name}", {})
        await intake.accept(JobRequest(source, (OutputRequest(recipe, place),)), ANYBODY)
        assert made.transfers.budget.held == min(number + 1, 2) * size_bytes, "of two for one place, one is kept"
    claim = await claimed(made.queue, time.time())
    made.source.unlink()
    assert [result.status for result in (await made.attempts.run(claim)).results] == ["delivered"]
    assert made.transfers.budget.held == size_bytes
    made.prefetched.close()
    assert (made.transfers.budget.held, open_blobs()) == (0, 1), "a placeholder is kept"
    with pytest.raises(Exception, match="no such source file"):
        await intake.accept(JobRequest(source, (OutputRequest(recipe, place),)), ANYBODY)
    assert (made.transfers.budget.held, open_blobs()) == (0, 1)


def logo(made: Plant, name: str) -> ImageRef:
    return ImageRef(url=f"file://{made.source.parent / name}")


async def test_further_pictures(made: Plant) -> None:
    """Of URLs and of the settings, of which one is not there, and one drawn by two outputs."""
    (made.source.parent / "logo.png").write_bytes(pictures.encoded(pictures.scene(8, 8), "png"))
    made.named.replace({"seal": Blob.of(pictures.encoded(pictures.scene(9, 9), "png"))})
    there, gone = Composite(logo(made, "logo.png")), Composite(logo(made, "gone.png"))
    await made.released(
        made.drawing("a.png", there, Composite(ImageRef(name="seal"))),
        made.drawing("b.png", there, gone),
        made.file("c.png"),
    )
    assert await ends_of(made) == ["delivered", "failed", "delivered"]
    assert (made.transfers.budget.held, open_blobs()) == (0, 1), "a picture of the settings stays"
    made.named.replace({})
    assert open_blobs() == 0


async def test_further_pictures_of_an_attempt_that_is_cancelled_at_every_step(made: Plant) -> None:
    (made.source.parent / "logo.png").write_bytes(pictures.encoded(pictures.scene(8, 8), "png"))
    there, gone = Composite(logo(made, "logo.png")), Composite(logo(made, "gone.png"))
    for step in range(0, 60, 2):
        await made.released(made.drawing(f"{step}.png", there), made.drawing(f"{step}-other.png", there, gone))
        claim = await claimed(made.queue, time.time())
        attempt = asyncio.create_task(made.attempts.run(claim))
        for _ in range(step):
            await asyncio.sleep(0)
        attempt.cancel()
        await asyncio.wait([attempt])
        while open_blobs():  # noqa: ASYNC110 - a thread that reads a file may have to end
            await asyncio.sleep(0.001)
        assert made.transfers.budget.held == 0, step
        await made.queue.settle(made.attempts.failed(claim, WorkerDied("gone")), time.time())
