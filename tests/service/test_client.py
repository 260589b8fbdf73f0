"""imgserve.client against the real daemon: with keys over TCP, and as the operator over the control socket."""

import contextlib
import gc
import io
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from imgserve.client import (
    ApiError,
    AsyncClient,
    Client,
    Destination,
    Encode,
    Event,
    Output,
    Placeholder,
    Resize,
    StillRunning,
    Submitted,
    Unreachable,
    Upload,
    calls,
)
from tests.service.test_jobs import PHOTO, Place, Shared, serving
from tests.support.daemon import wait_until
from tests.support.native import sha256
from tests.support.operating import ask


def refused_socket(test: Callable[..., None]) -> Callable[..., None]:
    """httpcore leaves the socket of a refused connection to the garbage collector, on a Unix socket only."""
    ignored = pytest.mark.filterwarnings("ignore:.*socket.socket:pytest.PytestUnraisableExceptionWarning")
    marked: Callable[..., None] = ignored(pytest.mark.usefixtures("collected")(test))
    return marked


@pytest.fixture
def collected() -> Iterator[None]:
    """Else a later test, which does not ignore it, is told of the socket: since Python 3.12 it is in a cycle."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with serving(tmp_path_factory.mktemp("client")) as running:
        yield running


@pytest.fixture
def place(shared: Shared) -> Place:
    return Place(shared)


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    with Client(place.server.url, key=place.shop.key, retry_s=5) as client:
        yield client


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A server that its tests end and start again. A failpoint's name is in a file beside it."""
    top = tmp_path_factory.mktemp("mortal")
    with serving(top, failpoint_file=str(top / "failpoint")) as running:
        yield running


@pytest.fixture
def alone(mortal: Shared) -> Place:
    return Place(mortal)


def source(place: Place, name: str = "plain/photo.jpg") -> str:
    return f"{place.sources.url}/{name}"


def small(place: Place, name: str = "a") -> Output:
    return Output(operations=(Resize(width=20),), destination=f"file://{place.out}/{name}.png")


def test_three_sizes_of_one_picture(place: Place, client: Client) -> None:
    outputs: calls.Outputs = [
        Output(name="card", operations=(Resize(60, 40),), encode=Encode("webp", quality=70),
               destination=f"file://{place.out}/{{$basename}}-card.{{$ext}}"),
        Output(operations=(Resize(width=120),), destination=f"file://{place.out}/{{$width}}.jpg",
               placeholder=Placeholder("solid", color="#dddddd")),
        {"operations": [{"operation": "resize", "width": 16, "height": 16}], "placeholder": "none",
         "destination": Destination(f"{place.web.url}{place.put_path}?token=s3cret", method="PUT")},
    ]  # fmt: skip
    submitted = client.submit(source(place), outputs, metadata={"product": "4711"}, priority="high")
    assert submitted.job.outputs[0].placeholder == "written"
    job = submitted.wait()
    assert (job.status, job.metadata, job.priority, job.protocol) == ("succeeded", {"product": "4711"}, "high", "v1")
    assert (job.source.format, job.source.width, job.source.height) == ("jpeg", 200, 150)
    files = {"card": place.out / "photo-card.webp", "1": place.out / "120.jpg", "2": place.thumb}
    for name, size in {"card": (60, 40), "1": (120, 90), "2": (16, 16)}.items():
        output = job.output(name)
        with Image.open(files[name]) as picture:
            assert (output.width, output.height) == picture.size == size
        assert (output.status, output.sha256) == ("delivered", sha256(files[name].read_bytes()))
    assert job.output("2").url == f"{place.web.url}{place.put_path}"
    assert "output.delivered" in {entry.event for entry in client.job(job.id).timeline}


def test_a_job_brings_its_picture(place: Place, client: Client) -> None:
    assert client.preview(PHOTO, [small(place, "own")]).outputs[0].width == 20
    job = client.submit(PHOTO, [small(place, "own")]).wait()
    assert (job.status, job.source.url, job.source.size_bytes) == ("succeeded", None, len(PHOTO))
    with Image.open(place.out / "own.png") as picture:
        assert picture.size == (20, 15)
    named = client.submit(
        Upload(PHOTO, "Fünf %20 Häuser.jpg"), [{"destination": f"file://{place.out}/{{$basename}}.png"}]
    )
    assert named.wait().status == "succeeded"
    assert (place.out / "Fünf %20 Häuser.png").exists()


def test_a_picture_at_once(place: Place, client: Client) -> None:
    for picture in (PHOTO, source(place)):
        rendered = client.render(picture, operations=[Resize(width=20)], encode=Encode("webp"))
        assert rendered.media_type == "image/webp"
        with Image.open(io.BytesIO(rendered.data)) as image:
            assert (image.size, image.format) == ((20, 15), "WEBP")
        facts = client.info(picture, include=("colors", "thumbhash"))
        assert (facts.format, facts.width, facts.height, facts.size_bytes) == ("jpeg", 200, 150, len(PHOTO))
        assert facts.colors
        assert facts.thumbhash
        assert facts.exif == {}
    with pytest.raises(ApiError) as caught:
        client.render(b"no picture")
    assert (caught.value.status, caught.value.code) == (422, "source_unreadable")


async def test_the_same_with_asyncio(place: Place) -> None:
    async with AsyncClient(place.server.url, key=place.shop.key, retry_s=5) as client:
        held = await client.submit(source(place, place.held), [small(place, "held")])
        with pytest.raises(StillRunning) as caught:
            await held.wait(timeout_s=0.1)
        assert caught.value.job.id == held.id
        jobs = [await (await client.submit(source(place), [small(place, name)])).wait() for name in "abc"]
        assert {job.status for job in jobs} == {"succeeded"}
        assert [job.id async for job in client.jobs(status="succeeded")] == [job.id for job in reversed(jobs)]
        assert (await held.cancel()).status == "cancelled"
        assert (await client.preview(source(place), [small(place)])).outputs[0].width == 20
        assert (await client.job(held.id)).has_ended
        assert (await client.render(PHOTO, encode={"format": "png"})).media_type == "image/png"
        assert (await client.info(source(place))).format == "jpeg"
        with pytest.raises(ApiError) as refused:
            await client.retry(held.id)
        assert (refused.value.status, refused.value.code) == (409, "not_retryable")


def test_a_refusal_has_the_fields_of_its_problem(place: Place, client: Client) -> None:
    with pytest.raises(ApiError) as caught:
        client.submit(source(place), [{"destination": "file:///etc/x.png", "operations": [{"operation": "blurr"}]}])
    error = caught.value
    assert (error.status, error.is_retryable, len(error.request_id) > 8) == (422, False, True)
    assert [fault.path for fault in error.errors] == ["outputs[0].operations[0].operation"]
    assert 'did you mean "blur"' in str(error)
    assert list(client.jobs()) == []
    with Client(place.server.url, key="no-key-of-anybody-1", retry_s=5) as stranger, pytest.raises(ApiError) as denied:
        stranger.job("0" * 32)
    assert denied.value.status == 401
    with pytest.raises(ApiError) as absent:
        client.job("../presets")
    assert (absent.value.status, absent.value.code) == (404, "no_such_page"), "an id is one part of the path"


def test_one_key_is_one_job(place: Place, client: Client) -> None:
    first, again = (client.submit(source(place), [small(place)], idempotency_key="order-1") for _ in range(2))
    assert first.id == again.id
    other = client.submit(source(place), [small(place)])
    assert other.id != first.id, "each call has a key of its own otherwise"
    assert [job.id for job in client.jobs(idempotency_key="order-1")] == [first.id]


def test_jobs_are_listed_page_by_page(place: Place, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAGE", 2)
    jobs = [client.submit(source(place), [small(place, str(number))]).wait() for number in range(5)]
    assert [job.id for job in client.jobs()] == [job.id for job in reversed(jobs)]
    newest = jobs[-1].created_at
    assert [job.id for job in client.jobs(created_after=newest, status=["failed", "succeeded"])] == [jobs[-1].id]
    assert [job.id for job in client.jobs(destination=f"file://{place.out}/3")] == [jobs[3].id]
    assert len(list(client.jobs(created_before=newest))) == 4


def test_a_failed_job_is_queued_again(place: Place, client: Client) -> None:
    failed = client.submit(source(place, "plain/broken-1.png"), [small(place)]).wait()
    assert failed.status == "failed"
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("source_unreadable", False)
    again = client.retry(failed.id, "0")
    assert (again.id, again.retries) == (failed.id, 1)
    assert again.status in ("queued", "running")
    assert client.wait(failed.id).status == "failed"


def test_a_job_is_watched_until_it_ends(place: Place, client: Client) -> None:
    submitted = client.submit(source(place, place.held), [small(place)])
    seen: list[Event] = []
    for event in client.events(job_id=submitted.id):
        if event.type in ("job", "job.started"):
            place.release()
        seen.append(event)
    assert seen[0].type == "job"
    assert [event.type for event in seen][-2:] == ["output.delivered", "job.succeeded"]
    delivered, end = seen[-2].output, seen[-1].job
    assert delivered is not None
    assert delivered.sha256 == sha256((place.out / "a.png").read_bytes())
    assert end is not None
    assert (end.id, end.status) == (submitted.id, "succeeded")
    assert list(client.events(job_id=submitted.id, after=seen[-1].id)) == []


async def test_events_of_all_jobs(place: Place) -> None:
    async with AsyncClient(place.server.url, key=place.shop.key) as client:
        jobs = [(await (await client.submit(source(place), [small(place, name)])).wait()).id for name in "ab"]
        async with contextlib.aclosing(client.events(types="job.succeeded", after="0")) as events:
            first, second = await anext(events), await anext(events)
        assert [event.job.id for event in (first, second) if event.job] == jobs
        async with contextlib.aclosing(client.events(types=["job.succeeded"], after=first.id)) as events:
            assert await anext(events) == second


@refused_socket
def test_no_event_is_missed_over_a_restart(alone: Place) -> None:
    """The server is killed while a client listens; one job ends before, one after it."""
    with Client(data_dir=alone.server.data_dir) as client, ThreadPoolExecutor(1) as threads:
        last = client.submit(source(alone, alone.held), [small(alone, "last")])
        first = client.submit(source(alone), [small(alone, "first")])

        def ends() -> list[str]:
            ids = (event.job.id for event in client.events(types=("job.succeeded",), after="0") if event.job)
            return list(itertools.islice((each for each in ids if each in (first.id, last.id)), 2))

        listening = threads.submit(ends)
        first.wait()
        os.kill(alone.server.pid, signal.SIGKILL)
        alone.server.wait()
        alone.server.start()
        alone.release()
        assert listening.result(timeout=30) == [first.id, last.id]


@refused_socket
def test_a_lost_answer_makes_no_second_job(alone: Place) -> None:
    """The server is killed between storing the job and its answer; the client sends it again to the next one."""
    point = alone.server.data_dir.parent / "failpoint"
    point.write_text("intake_enqueued")
    with Client(data_dir=alone.server.data_dir) as client, ThreadPoolExecutor(1) as threads:
        submitted = threads.submit(client.submit, source(alone), [small(alone)])
        assert alone.server.wait() == 137
        point.unlink()
        alone.server.start()
        job = submitted.result().wait()
        assert job.status == "succeeded"
        assert [each.id for each in client.jobs(destination=f"file://{alone.out}/")] == [job.id]


@refused_socket
def test_a_wait_outlasts_a_restart(alone: Place) -> None:
    with Client(data_dir=alone.server.data_dir) as client, ThreadPoolExecutor(1) as threads:
        submitted: Submitted = client.submit(source(alone, alone.held), [small(alone)])
        waiting = threads.submit(submitted.wait)
        wait_until(lambda: client.job(submitted.id).status == "running")
        os.kill(alone.server.pid, signal.SIGKILL)
        alone.server.wait()
        alone.server.start()
        assert not waiting.done()
        alone.release()
        assert waiting.result(timeout=30).status == "succeeded"


def test_the_operator_sees_the_jobs_of_all(place: Place, client: Client) -> None:
    job = client.submit(source(place, place.held), [small(place)])
    with Client(data_dir=place.server.data_dir) as operator:
        assert job.id in {each.id for each in operator.jobs()}
        assert operator.cancel(job.id).status == "cancelled"
    assert ask(place.server.data_dir, "GET", f"/v1/jobs/{job.id}").body["principal"] == place.name


@refused_socket
def test_no_server(tmp_path: Path) -> None:
    with Client(data_dir=tmp_path, retry_s=0) as client, pytest.raises(Unreachable):
        client.job("0")
    with Client("http://127.0.0.1:9", retry_s=0.1, key="hush") as client:
        with pytest.raises(Unreachable) as caught:
            list(client.jobs())
        assert "hush" not in repr(client) + caught.value.sentence()
    for url, key in (("127.0.0.1:8602", ""), ("http://127.0.0.1", "hush\n")):
        with pytest.raises(ValueError, match="expected") as invalid:
            Client(url, key=key)
        assert "hush" not in str(invalid.value)
