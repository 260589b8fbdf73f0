"""``if_exists`` keep: a file that is not imgserve's stays where it lies until the result comes."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from examples.receivers import Behaviour, FtpReceiver, HttpReceiver
from PIL import Image

from imgserve.api.problems import problem_of
from imgserve.errors import ImgserveError
from imgserve.jobs.model import Claim, PlaceholderState
from imgserve.request.job import JobRequest, OnFailure, OutputRequest, Placeholder
from imgserve.request.source import parse_source
from tests.integration.test_intake import ANYBODY, wanted
from tests.integration.test_runner import until
from tests.support.plant import Plant
from tests.support.queues import claimed

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOREIGN = b"somebody else's"


class Site(NamedTuple):
    """A destination, and the file there."""

    output: OutputRequest
    path: Path


@pytest.fixture(params=["file", "ftp", "put"])
def site(request: pytest.FixtureRequest, made: Plant, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as open_servers:
        if request.param == "file":
            output = wanted(f"file://{made.out}/a.png")
        elif request.param == "put":
            output = wanted(f"{open_servers.enter_context(HttpReceiver(made.out)).url}/a.png", method="PUT")
        else:
            output = wanted(f"{open_servers.enter_context(FtpReceiver(made.out)).url}/a.png")
        yellow = Placeholder("solid", "#e0e000")
        yield Site(msgspec.structs.replace(output, if_exists="keep", placeholder=yellow), made.out / "a.png")


async def accept(made: Plant, output: OutputRequest) -> Claim:
    await made.intake().accept(JobRequest(parse_source(f"file://{made.source}"), (output,)), ANYBODY)
    return await claimed(made.queue, time.time())


def state(claim: Claim) -> PlaceholderState:
    return claim.outputs[0].placeholder


async def test_where_nothing_lies_a_placeholder_is_written(made: Plant, site: Site) -> None:
    claim = await accept(made, site.output)
    assert state(claim) == "written"
    assert site.path.exists()


async def test_what_is_somebody_elses_stays_until_the_result_comes(made: Plant, site: Site) -> None:
    site.path.write_bytes(FOREIGN)
    claim = await accept(made, site.output)
    assert state(claim) == "kept"
    assert site.path.read_bytes() == FOREIGN
    settlement = await made.attempts.run(claim)
    assert [result.status for result in settlement.results] == ["delivered"]
    with Image.open(site.path) as picture:
        assert picture.size == (8, 8)


async def test_what_is_kept_is_owed_nothing(made: Plant, site: Site) -> None:
    site.path.write_bytes(FOREIGN)
    claim = await accept(made, site.output)
    assert state(claim) == "kept"
    made.source.unlink()
    attempts = made.new_attempts()  # without the download that intake began
    assert await made.queue.settle(await attempts.run(claim), time.time())
    assert list(made.house.statuses().values()) == ["failed"]
    assert (await made.queue.counts()).placeholders_left == 0
    assert site.path.read_bytes() == FOREIGN


async def test_a_placeholder_of_an_earlier_job_is_no_file_to_keep(made: Plant, site: Site) -> None:
    claim = await accept(made, site.output)
    assert state(claim) == "written"
    claim = await accept(made, site.output)
    assert state(claim) == "written"


async def test_a_failure_picture_is_no_file_to_keep(made: Plant, site: Site) -> None:
    source = made.source.read_bytes()
    claim = await accept(made, site.output)
    assert state(claim) == "written"
    placeholder = site.path.read_bytes()
    made.source.unlink()
    attempts = made.new_attempts()  # without the download that intake began
    assert await made.queue.settle(await attempts.run(claim), time.time())
    runner = made.runner()
    runner.start()
    await until(lambda: site.path.read_bytes() != placeholder)
    await runner.stop(20.0)
    made.source.write_bytes(source)
    claim = await accept(made, site.output)
    assert state(claim) == "written"
    assert site.path.read_bytes() == placeholder


@pytest.mark.parametrize("on_failure", ["error_image", "delete"])
async def test_a_crash_of_intake_costs_nobody_a_file(made: Plant, site: Site, on_failure: OnFailure) -> None:
    """The next server does not know how the placeholder ended."""
    site.path.write_bytes(FOREIGN)
    output = msgspec.structs.replace(site.output, on_failure=on_failure)
    claim = await accept(made, output)
    resolved = claim.outputs[0].spec
    assert await made.queue.settle(await made.attempts.run(claim), time.time())
    site.path.write_bytes(FOREIGN)
    made.source.unlink()
    await made.released(resolved, state="unknown")
    attempts = made.new_attempts()
    assert await made.queue.settle(await attempts.run(await claimed(made.queue, time.time())), time.time())
    assert (await made.queue.counts()).pending == 1
    runner = made.runner()
    runner.start()
    while (await made.queue.counts()).pending:  # noqa: ASYNC110 - the queue tells nobody
        await asyncio.sleep(0.01)
    await runner.stop(20.0)
    assert site.path.read_bytes() == FOREIGN


async def test_a_server_that_answers_no_head_refuses_the_job(made: Plant, tmp_path: Path) -> None:
    with HttpReceiver(tmp_path / "web") as web:
        web.behave("/", Behaviour(status=405, kinds=("HEAD",)))
        output = msgspec.structs.replace(wanted(f"{web.url}/a.png", method="PUT"), if_exists="keep")
        with pytest.raises(ImgserveError) as caught:
            await made.intake().accept(JobRequest(parse_source(f"file://{made.source}"), (output,)), ANYBODY)
    problem = problem_of(caught.value, "")
    assert (problem.status, [fault.path for fault in problem.errors]) == (422, ["outputs[0].destination"])
    assert problem.hint == 'use outputs[0].placeholder.if_exists = "replace"'
    assert made.house.statuses() == {}
