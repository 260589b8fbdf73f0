"""One attempt with everything real around it: what it writes, when it frees, and which settlement it hands back."""

import asyncio
import contextlib
import hashlib
import math
import random
import time
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from imgserve.blob import Fingerprint
from imgserve.engine.config import AttemptConfig
from imgserve.imaging import assignment
from imgserve.jobs.model import Intent
from imgserve.jobs.views import JobQuery
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.job import ResolvedOutput
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from imgserve.transfer.digest import AT_ONCE_BYTES
from tests.support import pictures
from tests.support.plant import Plant, plant, put_to
from tests.support.ports import free_port
from tests.support.queues import GRANTED, accepted, claimed
from tests.support.stalling import LONG_S, Receiver

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_outputs_are_rendered_and_delivered(made: Plant) -> None:
    await made.released(made.file("a.png"), made.file("b.png"))
    done = await made.attempts.run(await claimed(made.queue, time.time()))
    assert [result.status for result in done.results] == ["delivered", "delivered"]
    assert {(result.charge, result.due_at, result.error) for result in done.results} == {("none", None, "")}
    assert await made.queue.settle(done, time.time())
    for name, result in zip(("a.png", "b.png"), done.results, strict=True):
        data = (made.out / name).read_bytes()
        assert (result.size_bytes, result.sha256) == (len(data), hashlib.sha256(data).digest())
        with Image.open(made.out / name) as picture:
            assert (picture.format, picture.size) == ("PNG", (8, 8))


async def test_ten_outputs_are_what_each_is_alone_and_as_a_retry(made: Plant) -> None:
    """One of them meets a closed port, and is rendered again without the others."""
    made.source.write_bytes(pictures.encoded(pictures.detailed(640, 480), "jpeg"))
    made.attempts = made.new_attempts(AttemptConfig(kept_renditions_bytes=0))
    port, widths = free_port(), (320, 240, 200, 160, 120, 100, 80, 60, 40)
    late = wide(put_to(port, "late.jpg"), 300)
    await made.released(*(wide(made.file(f"{width}.jpg"), width) for width in widths), late)
    done = await made.attempts.run(await claimed(made.queue, time.time()))
    assert [result.status for result in done.results] == ["delivered"] * len(widths) + ["retry"]
    await made.queue.settle(done, time.time())
    async with Receiver.listening(port) as receiver:
        again = await made.attempts.run(await claimed(made.queue, time.time() + 30))
    assert [result.status for result in again.results] == ["delivered"]
    for width in (*widths, 300):
        await made.released(wide(made.file(f"alone-{width}.jpg"), width))
        await made.queue.settle(await made.attempts.run(await claimed(made.queue, time.time())), time.time())
    alone = [(made.out / f"alone-{width}.jpg").read_bytes() for width in (*widths, 300)]
    assert [(made.out / f"{width}.jpg").read_bytes() for width in widths] + receiver.bodies == alone


async def test_the_outputs_of_a_job_share_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "HELP_AFTER_S", LONG_S)
    async with plant(tmp_path, workers=2) as made:
        made.source.write_bytes(pictures.encoded(pictures.detailed(640, 480), "jpeg"))
        await made.released(*(wide(made.file(f"{width}.jpg"), width) for width in (320, 310, 300, 290)))
        attempt = asyncio.create_task(made.attempts.run(await claimed(made.queue, time.time())))
        busy = {0}
        while not attempt.done():
            busy |= {staffing.busy for staffing in made.pool.staffing() if staffing.role == "render"}
            await asyncio.sleep(0)
        assert [result.status for result in (await attempt).results] == ["delivered"] * 4
    assert busy == {0, 1}


def wide(usual: ResolvedOutput, width: int) -> ResolvedOutput:
    """The same output as a JPEG of this width, at 4 to 3."""
    recipe = Recipe((Resize(width=width),), Encode("jpeg", 80))
    return msgspec.structs.replace(usual, rendering=Rendering(recipe, Size(width, width * 3 // 4), "jpeg"))


async def test_two_operations_are_carried_out_one_after_the_other(made: Plant) -> None:
    """The upper left quarter of the source, which no single resize cuts out; beside an output of one operation."""
    usual = made.file("a.png")
    operations = (Resize(width=32, height=48, gravity="west"), Resize(width=32, height=24, gravity="north"))
    recipe = msgspec.structs.replace(usual.rendering.recipe, operations=operations)
    rendering = msgspec.structs.replace(usual.rendering, recipe=recipe, size=Size(32, 24))
    await made.released(msgspec.structs.replace(usual, rendering=rendering), made.file("b.png"))
    done = await made.attempts.run(await claimed(made.queue, time.time()))
    assert [result.status for result in done.results] == ["delivered", "delivered"]
    with Image.open(made.out / "a.png") as picture, Image.open(made.source) as source:
        assert pictures.distance(picture.convert("RGB"), source.convert("RGB").crop((0, 0, 32, 24))) < 2
    with Image.open(made.out / "b.png") as picture:
        assert picture.size == (8, 8)


async def test_a_source_that_is_gone_fails_all_outputs(made: Plant) -> None:
    await made.released(made.file("a.png"), made.file("b.png"))
    made.source.unlink()
    done = await made.attempts.run(await claimed(made.queue, time.time()))
    assert [result.status for result in done.results] == ["failed", "failed"]
    assert {(result.charge, result.error) for result in done.results} == {("attempt", "source_not_found")}


async def test_a_placeholder_as_source_is_tried_again(made: Plant) -> None:
    fingerprint = Fingerprint.of(made.source.read_bytes())
    await made.queue.note_placeholder(fingerprint.digest, fingerprint.size_bytes, time.time())
    await made.released(made.file("a.png"))
    done = await made.attempts.run(await claimed(made.queue, time.time()))
    assert [result.status for result in done.results] == ["retry"]
    assert {(result.charge, result.error) for result in done.results} == {("attempt", "source_is_placeholder")}
    assert not (made.out / "a.png").exists()


async def test_a_large_result_is_hashed_too(made: Plant) -> None:
    """In a thread: 512 x 512 pixels of noise are 0.8 MB."""
    noise = Image.frombytes("RGB", (512, 512), random.Random(1).randbytes(512 * 512 * 3))
    made.source.write_bytes(pictures.encoded(noise, "png"))
    usual = made.file("a.png")
    rendering = msgspec.structs.replace(
        usual.rendering, recipe=msgspec.structs.replace(usual.rendering.recipe, operations=()), size=Size(512, 512)
    )
    await made.released(msgspec.structs.replace(usual, rendering=rendering))
    done = await made.attempts.run(await claimed(made.queue, time.time()))
    data = (made.out / "a.png").read_bytes()
    assert len(data) > AT_ONCE_BYTES
    assert [(result.size_bytes, result.sha256) for result in done.results] == [
        (len(data), hashlib.sha256(data).digest())
    ]


async def test_an_error_keeps_its_remedy_apart(made: Plant) -> None:
    made.source.unlink()
    await made.released(put_to(free_port(), "a.png"))
    gone = await made.attempts.run(await claimed(made.queue, time.time()))
    assert [(result.detail, result.hint, result.is_retryable) for result in gone.results] == [
        (
            "There is no such source file",
            "check its path: it begins at the root of the machine that runs the server",
            False,
        )
    ]


async def test_a_final_after_an_unanswered_placeholder_goes_out_twice(made: Plant, receiver: Receiver) -> None:
    await made.released(put_to(receiver.port, "a.png"), state="unknown")
    claim = await claimed(made.queue, time.time())
    done = await made.attempts.run(claim)
    assert [result.status for result in done.results] == ["repeat"]
    assert done.results[0].due_at == pytest.approx(time.time() + 60, abs=10)
    await made.queue.settle(done, time.time())
    made.source.unlink()  # the repeat needs neither source nor worker
    again = await claimed(made.queue, time.time() + 61)
    last = await made.attempts.run(again)
    assert [result.status for result in last.results] == ["delivered"]
    assert receiver.log == ["put final", "put final"]


async def test_a_repeat_that_fails_for_good_leaves_the_final_that_was_taken(made: Plant, receiver: Receiver) -> None:
    await made.released(put_to(receiver.port, "a.png"), state="unknown")
    done = await made.attempts.run(await claimed(made.queue, time.time()))
    await made.queue.settle(done, time.time())
    made.source.unlink()
    restarted = made.new_attempts()  # whose predecessor took the kept rendition along
    last = await restarted.run(await claimed(made.queue, time.time() + 61))
    assert [result.status for result in last.results] == ["delivered"]
    assert receiver.log == ["put final"]


async def test_a_delivery_that_failed_is_repeated_without_the_source(made: Plant) -> None:
    port = free_port()
    await made.released(put_to(port, "a.png"))
    done = await made.attempts.run(await claimed(made.queue, time.time()))
    assert [result.status for result in done.results] == ["retry"]
    await made.queue.settle(done, time.time())
    made.source.unlink()
    async with Receiver.listening(port) as receiver:
        again = await made.attempts.run(await claimed(made.queue, time.time() + 30))
        assert [result.status for result in again.results] == ["delivered"]
        assert receiver.log == ["put final"]


async def test_warnings_belong_to_the_picture_also_to_a_kept_one(made: Plant) -> None:
    made.source.write_bytes(b'<svg xmlns="http://www.w3.org/2000/svg"><text font-family="Zzyx">a</text></svg>')
    port = free_port()
    await made.released(put_to(port, "a.png"), made.file("b.png"))
    done = await made.attempts.run(await claimed(made.queue, time.time()))
    assert [result.status for result in done.results] == ["retry", "delivered"]
    for result in done.results:
        assert [warning.code for warning in result.warnings or ()] == ["font_missing"]
    await made.queue.settle(done, time.time())
    made.source.unlink()
    async with Receiver.listening(port):
        again = await made.attempts.run(await claimed(made.queue, time.time() + 30))
    assert [result.status for result in again.results] == ["delivered"]
    assert again.results[0].warnings == done.results[0].warnings
    await made.queue.settle(again, time.time())
    [job] = (await made.queue.page(JobQuery())).jobs
    assert [warning.path for warning in job.warnings] == ["outputs[0]", "outputs[1]"]


async def test_an_attempt_without_a_picture_says_nothing_of_warnings(made: Plant) -> None:
    await made.released(made.file("a.png"))
    made.source.write_bytes(b"no picture")
    done = await made.attempts.run(await claimed(made.queue, time.time()))
    assert [result.warnings for result in done.results] == [None]


async def test_without_room_a_rendition_is_not_kept(made: Plant) -> None:
    made.attempts = made.new_attempts(AttemptConfig(kept_renditions_bytes=0))
    port = free_port()
    await made.released(put_to(port, "a.png"))
    await made.queue.settle(await made.attempts.run(await claimed(made.queue, time.time())), time.time())
    made.source.unlink()
    async with Receiver.listening(port) as receiver:
        again = await made.attempts.run(await claimed(made.queue, time.time() + 30))
        assert [result.status for result in again.results] == ["failed"]
        assert receiver.log == []


async def test_a_delivery_that_takes_too_long_is_tried_again(made: Plant, receiver: Receiver) -> None:
    made.attempts = made.new_attempts(AttemptConfig(delivery_timeout_s=0.3))
    await made.released(put_to(receiver.port, "a.png"))
    receiver.stall()
    async with asyncio.timeout(LONG_S):
        done = await made.attempts.run(await claimed(made.queue, time.time()))
    assert [result.status for result in done.results] == ["retry"]


async def test_an_output_that_failed_frees_its_place_while_others_are_under_way(
    made: Plant, receiver: Receiver
) -> None:
    quick, slow = put_to(free_port(), "a.png"), put_to(receiver.port, "b.png")
    await made.released(quick, slow)
    receiver.stall()
    attempt = asyncio.create_task(made.attempts.run(await claimed(made.queue, time.time())))
    await receiver.until_came(1)
    newer = await accepted(made.queue, quick, now=time.time())
    intent = Intent(newer.number, newer.outputs[0].id, 0, quick.placement.destination.key, "placeholder")
    async with asyncio.timeout(LONG_S):
        while await made.queue.acquire(intent, time.time()) != GRANTED:
            await made.queue.until_free(intent.key, 1.0)
    assert not attempt.done()
    receiver.go()
    done = await asyncio.wait_for(attempt, LONG_S)
    assert [result.status for result in done.results] == ["retry", "delivered"]


async def test_a_destination_that_is_down_for_forty_minutes_gets_every_result(made: Plant) -> None:
    """By a clock that is turned on to when the next attempt is due. Each output has its own attempts."""
    port, now = free_port(), time.time()
    up_again_at = now + 2400.0
    entry = await made.released(*(put_to(port, f"{number}.png") for number in range(3)), made.file("a.png"))
    made.attempts = made.new_attempts(clock=lambda: now)
    tries = 0
    async with contextlib.AsyncExitStack() as up:
        while made.house.statuses()[entry.number] != "succeeded":
            if now >= up_again_at and tries:
                receiver = await up.enter_async_context(Receiver.listening(port))
                up_again_at = math.inf
            work = await made.queue.take_work(8, now)
            for claim in work.claims:
                assert await made.queue.settle(await made.attempts.run(claim), now)
                tries += 1
            assert work.due_at is not None
            now = max(now, work.due_at)
        assert sorted(receiver.log) == ["put final"] * 3
    assert tries > 10
    assert (made.out / "a.png").exists()


async def test_a_superseded_output_ends_quietly(made: Plant, receiver: Receiver) -> None:
    place = put_to(receiver.port, "a.png")
    await made.released(place)
    claim = await claimed(made.queue, time.time())
    await made.released(place)
    done = await made.attempts.run(claim)
    assert [result.status for result in done.results] == ["superseded"]
    assert {(result.charge, result.error, result.due_at) for result in done.results} == {("none", "", None)}
    assert receiver.log == []


async def test_a_delivery_that_takes_long_keeps_no_source(made: Plant, receiver: Receiver) -> None:
    """Sixteen of them to one silent peer would hold all the memory that sources have."""
    await made.released(put_to(receiver.port, "a.png"))
    receiver.stall()
    attempt = asyncio.create_task(made.attempts.run(await claimed(made.queue, time.time())))
    await receiver.until_came(1)
    budget = made.transfers.budget
    assert budget.held == 0
    receiver.go()
    assert [result.status for result in (await attempt).results] == ["delivered"]
