"""What intake refuses before anything is stored or sent, over real parts."""

import asyncio
import itertools
import time

import pytest
from PIL import Image

from imgserve.imaging.faults import PageMissing
from imgserve.jobs.faults import IdempotencyKeyReused
from imgserve.jobs.model import Answer, Binding, Bound
from imgserve.request.classic.destination import parse_destination
from imgserve.request.classic.spelling import number_of
from imgserve.request.encode import Encode
from imgserve.request.faults import RequestInvalid
from imgserve.request.imageinfo import Size
from imgserve.request.job import JobRequest, OutputRequest
from imgserve.request.native_job import parse_job
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.principal import Principal
from imgserve.request.recipe import LoadOptions, Operation, Recipe
from imgserve.request.source import parse_source
from tests.support.plant import Plant
from tests.support.queues import claimed
from tests.support.stalling import LONG_S, Receiver

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANYBODY = Principal("@local", "local")
SMALL = Resize(width=8, height=8)


def wanted(url: str, *operations: Operation, method: str = "", field: str = "") -> OutputRequest:
    args = {"method": method} if method else {"field_name": field} if field else {}
    return OutputRequest(Recipe(operations or (SMALL,), Encode(format="png")), parse_destination(url, args))


async def take_in(made: Plant, *outputs: OutputRequest) -> Answer:
    request = JobRequest(parse_source(f"file://{made.source}"), outputs)
    async with asyncio.timeout(LONG_S):
        return await made.intake().accept(request, ANYBODY)


async def refusal(made: Plant, *outputs: OutputRequest) -> tuple[int | None, str]:
    with pytest.raises(RequestInvalid) as caught:
        await take_in(made, *outputs)
    assert made.house.statuses() == {}
    assert list(made.out.iterdir()) == []
    return number_of(caught.value), caught.value.detail


async def test_two_outputs_at_one_file_are_refused(made: Plant) -> None:
    (made.out.parent / "alias").symlink_to(made.out)
    spellings = (f"{made.out}/a.png", f"{made.out}//a.png", f"{made.out}/%61.png", f"{made.out}/{{$width}}.png")
    for one, other in itertools.product(spellings, repeat=2):
        if ("{" in one) == ("{" in other):
            number, detail = await refusal(made, wanted(f"file://{one}"), wanted(f"file://{other}"))
            assert number == 105
            assert detail.startswith(
                "outputs[1].destination: expected another place than that of outputs[0].destination;"
            )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://127.0.0.1:{port}/a.png", "http://127.0.0.1:{port}/a.png"),
        ("http://127.0.0.1:{port}/a.png", "http://ann:pass@127.0.0.1:{port}/./a.png"),
        ("http://127.0.0.1:{port}/a.png", "http://127.0.0.1:{port}/a.png?X-Amz-Signature=7"),
        ("http://127.0.0.1:{port}/8x8.png", "http://127.0.0.1:{port}/{{$width}}x{{$height}}.png"),
    ],
)
async def test_two_outputs_at_one_url_are_refused(made: Plant, one: str, other: str) -> None:
    async with Receiver.listening() as receiver:
        places = [wanted(url.format(port=receiver.port), method="PUT") for url in (one, other)]
        assert (await refusal(made, *places))[0] == 105
        assert receiver.log == []


async def test_the_third_of_three_is_named(made: Plant) -> None:
    forms = [wanted(f"http://127.0.0.1:9999/page:{name}", field="file") for name in ("a.png", "b.png", "b.png")]
    assert (
        "outputs[2].destination: expected another place than that of outputs[1].destination;"
        in (await refusal(made, *forms))[1]
    )


async def test_two_outputs_at_two_places_are_taken_in(made: Plant) -> None:
    await take_in(made, wanted(f"file://{made.out}/a.png"), wanted(f"file://{made.out}/b.png"))
    assert sorted(path.name for path in made.out.iterdir()) == ["a.png", "b.png"]
    assert list(made.house.statuses().values()) == ["queued"]


@pytest.mark.parametrize(
    ("operations", "path", "note"),
    [
        (
            (SMALL, Rasterize(width=8)),
            "[1]",
            "rasterize draws the source itself, so it can only be the first operation",
        ),
        ((SMALL,) * 33, "", "expected at most 32 operations, got 33"),
    ],
)
async def test_operations_in_a_wrong_order_or_number_are_refused_with_their_path(
    made: Plant, operations: tuple[Operation, ...], path: str, note: str
) -> None:
    """At once: the source is not even read."""
    made.source.unlink()
    outputs = (wanted(f"file://{made.out}/a.png"), wanted(f"file://{made.out}/b.png", *operations))
    assert await refusal(made, *outputs) == (107, f"outputs[1].operations{path}: {note}")


async def test_each_output_takes_its_own_page(made: Plant) -> None:
    """Its size is that page's."""
    pages = [Image.new("RGB", (width, 8)) for width in (40, 50, 60)]
    pages[0].save(made.source, "TIFF", save_all=True, append_images=pages[1:])
    place = parse_destination(f"file://{made.out}/{{$width}}.png", {})
    loads = [LoadOptions(page=page) for page in (2, 0)]
    await take_in(made, *(OutputRequest(Recipe((), Encode(format="png"), load), place) for load in loads))
    assert sorted(path.name for path in made.out.iterdir()) == ["40.png", "60.png"]


async def test_a_page_that_is_missing_is_refused_with_its_output(made: Plant) -> None:
    output = wanted(f"file://{made.out}/a.png")
    beyond = OutputRequest(Recipe((SMALL,), Encode(format="png"), LoadOptions(page=1)), output.destination)
    with pytest.raises(PageMissing) as caught:
        await take_in(made, output, beyond)
    assert number_of(caught.value) == 202
    assert caught.value.sentence().endswith("ask for a lower outputs[1].load.page)")


async def test_two_resizes_give_both_sizes_in_turn(made: Plant) -> None:
    """The placeholder has the last one's size."""
    await take_in(made, wanted(f"file://{made.out}/{{$width}}.png", Resize(width=32, height=32), Resize(width=10)))
    with Image.open(made.out / "10.png") as placeholder:
        assert placeholder.size == (10, 10)


async def test_no_output_is_refused(made: Plant) -> None:
    assert await refusal(made) == (107, "outputs: expected at least one, got none")


async def test_a_preview_resolves_and_does_nothing(made: Plant, receiver: Receiver) -> None:
    outputs = (
        wanted(f"http://127.0.0.1:{receiver.port}/{{$width}}.png", method="PUT"),
        wanted(f"file://{made.out}/a.png"),
    )
    request = JobRequest(parse_source(f"file://{made.source}"), outputs, deadline_s=70.0, metadata={"a": "b"})
    async with asyncio.timeout(LONG_S):
        job = await made.intake().preview(request, ANYBODY)
    assert (job.info.width_px, job.info.height_px) == (64, 48)
    assert [output.rendering.size for output in job.outputs] == [Size(8, 8)] * 2
    assert job.outputs[0].placement.destination.shown.endswith("/8.png")
    assert (job.deadline_s, dict(job.metadata)) == (70.0, {"a": "b"})
    assert made.house.statuses() == {}
    assert list(made.out.iterdir()) == []
    assert receiver.log == []
    assert made.transfers.budget.held == 0


async def test_a_preview_has_the_faults_of_a_job(made: Plant) -> None:
    outputs = (wanted(f"file://{made.out}/a.png"), wanted(f"file://{made.out}/a.png"))
    with pytest.raises(RequestInvalid, match=r"outputs\[1\]\.destination: expected another place"):
        await made.intake().preview(JobRequest(parse_source(f"file://{made.source}"), outputs), ANYBODY)


async def test_a_job_has_the_deadline_that_it_names(made: Plant) -> None:
    request = JobRequest(parse_source(f"file://{made.source}"), (wanted(f"file://{made.out}/a.png"),), deadline_s=70.0)
    before = time.time()
    await made.intake().accept(request, ANYBODY)
    claim = await claimed(made.queue, time.time())
    assert before + 70.0 <= claim.deadline_at <= time.time() + 70.0


async def test_a_source_is_not_kept_for_a_job_of_another_day(made: Plant) -> None:
    source = parse_source(f"file://{made.source}")
    for not_before, is_kept in ((None, True), (time.time() - 3600, True), (time.time() + 3600, False)):
        request = JobRequest(source, (wanted(f"file://{made.out}/{not_before}.png"),), not_before=not_before)
        answer = await made.intake().accept(request, ANYBODY)
        fetch = made.prefetched.take(answer.number)
        assert (fetch is not None) == is_kept
        if fetch is not None:
            fetch.close()
    assert made.transfers.budget.held == 0


async def test_tags_of_a_native_job(made: Plant) -> None:
    outputs = [{"destination": f"file://{made.out}/{{$job}}/{{$name}}-{{$width}}.{{$ext}}"}]
    request = parse_job({"source": f"file://{made.source}", "outputs": outputs}, now=time.time())
    answer = await made.intake().accept(request, ANYBODY)
    width = answer.outputs[0].rendering.size
    assert width is not None
    assert answer.outputs[0].placement.destination.path == f"{made.out}/{answer.id}/0-{width.width_px}.png"


async def test_a_time_that_a_client_names_is_stored_by_the_queues_clock(made: Plant) -> None:
    """The wall clock has been set on by an hour since the queue began."""
    intake = made.intake(wall_clock=lambda: time.time() + 3600.0)
    request = JobRequest(
        parse_source(f"file://{made.source}"), (wanted(f"file://{made.out}/a.png"),), not_before=time.time() + 7200.0
    )
    answer = await intake.accept(request, ANYBODY)
    stored = (await made.queue.job(answer.id)).not_before
    assert stored is not None
    assert stored.timestamp() == pytest.approx(time.time() + 3600.0, abs=LONG_S)
    assert (await intake.preview(request, ANYBODY)).not_before == request.not_before


async def test_a_repeated_request_gets_its_job_without_a_look_at_the_source(made: Plant) -> None:
    request = JobRequest(parse_source(f"file://{made.source}"), (wanted(f"file://{made.out}/a.png"),))
    intake, binding = made.intake(), Binding("order-1", b"its digest")
    first = await intake.accept_once(request, ANYBODY, binding)
    made.source.unlink()
    assert isinstance(first, Answer)
    assert await intake.accept_once(request, ANYBODY, binding) == Bound(first.id, b"its digest", is_gone=False)
    with pytest.raises(IdempotencyKeyReused):
        await intake.accept_once(request, ANYBODY, Binding("order-1", b"another"))
    assert made.house.statuses() == {first.number: "queued"}
