"""A job with several outputs of which one refuses its placeholder: nothing of the job stays anywhere."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from examples.receivers import Behaviour, HttpReceiver

from imgserve.api.problems import problem_of
from imgserve.errors import ImgserveError
from imgserve.request.job import JobRequest, OutputRequest, Placeholder
from imgserve.request.source import parse_source
from imgserve.transfer.faults import DeliveryFailed
from tests.integration.test_intake import ANYBODY, wanted
from tests.support.plant import Plant

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIGNED = "X-Amz-Signature=1"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[HttpReceiver]:
    with HttpReceiver(tmp_path / "web") as receiver:
        yield receiver


async def refused(made: Plant, *outputs: OutputRequest) -> ImgserveError:
    with pytest.raises(ImgserveError) as caught:
        await made.intake().accept(JobRequest(parse_source(f"file://{made.source}"), outputs), ANYBODY)
    return caught.value


def states(web: HttpReceiver, name: str) -> list[tuple[str, str]]:
    """Methods and states of what came for this file, in order; GET and HEAD aside."""
    return [
        (event.kind, event.state)
        for event in web.log.all()
        if event.name.partition("?")[0] == name and event.kind not in ("GET", "HEAD")
    ]


async def test_the_other_placeholders_are_deleted_or_replaced(made: Plant, web: HttpReceiver) -> None:
    """Whatever ``on_failure`` says. An output without a placeholder is owed nothing."""
    web.behave("/refuses", Behaviour(status=403))
    web.behave("/silent", Behaviour(cut=True, times=2, kinds=("PUT",)))
    web.behave("/keeps", Behaviour(status=405, kinds=("DELETE",)))
    others = [
        wanted(f"file://{made.out}/a.png"),
        wanted(f"{web.url}/taken.png", method="PUT"),
        wanted(f"{web.url}/silent.png", method="PUT"),
        wanted(f"{web.url}/signed.png?{SIGNED}", method="PUT"),
        wanted(f"{web.url}/keeps.png", method="PUT"),
        wanted(f"{web.url}/direct:form.png", field="image_file"),
    ]
    kept = [msgspec.structs.replace(output, on_failure="keep_placeholder") for output in others[:2]]
    bare = msgspec.structs.replace(wanted(f"file://{made.out}/b.png"), placeholder=Placeholder("none"))
    error = await refused(made, *kept, *others[2:], wanted(f"{web.url}/refuses.png", method="PUT"), bare)
    assert isinstance(error, DeliveryFailed)
    assert (await made.queue.counts()).pending == 6, "stored before the refusal"
    problem = problem_of(error, "")
    assert (problem.status, problem.code) == (422, "delivery_failed")
    assert [(fault.path, fault.code) for fault in problem.errors] == [("outputs[6].destination", "delivery_failed")]
    assert (made.out / "a.png").exists()
    runner = made.runner()
    runner.start()
    await made.until_none_left()
    await runner.stop(20.0)
    put, deleted, replaced = ("PUT", "placeholder"), ("DELETE", ""), ("PUT", "failed")
    assert states(web, "/taken.png") == [put, deleted]
    assert states(web, "/silent.png")[-1] == deleted
    assert states(web, "/signed.png") == [put, replaced]
    assert states(web, "/keeps.png") == [put, deleted, replaced]
    assert states(web, "form.png") == [("POST", "placeholder"), ("POST", "failed")]
    assert list(made.out.iterdir()) == []
    assert list(made.house.statuses().values()) == ["failed"]


async def test_every_refusal_is_named(made: Plant, web: HttpReceiver) -> None:
    """Nothing was taken, so that nothing is kept of the job."""
    web.behave("/", Behaviour(status=403))
    error = await refused(made, *(wanted(f"{web.url}/{number}.png", method="PUT") for number in range(20)))
    assert [fault.path for fault in problem_of(error, "").errors] == [
        f"outputs[{number}].destination" for number in range(20)
    ]
    assert made.house.statuses() == {}


async def test_an_unanswered_placeholder_refuses_nothing(made: Plant, web: HttpReceiver) -> None:
    web.behave("/silent", Behaviour(cut=True, times=2, kinds=("PUT",)))
    outputs = (wanted(f"{web.url}/silent.png", method="PUT"), wanted(f"file://{made.out}/a.png"))
    await made.intake().accept(JobRequest(parse_source(f"file://{made.source}"), outputs), ANYBODY)
    assert list(made.house.statuses().values()) == ["queued"]
