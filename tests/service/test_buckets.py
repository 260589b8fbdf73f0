"""Jobs whose pictures lie in a bucket, or go to a presigned URL, against the real server and moto."""

import json
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from examples.receivers import Behaviour, HttpReceiver

from tests.service.conftest import opened
from tests.support.buckets import Environ, ObjectStore, StartResponse, WsgiApp
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.native import Caller, sha256
from tests.support.pictures import encoded, scene

TIMES = {"quiet_s": 0.2, "repeat_after_s": 0.2, "retry_delay_s": 0.05}
PHOTO = encoded(scene(200, 150), "jpeg")


class Trouble:
    """Stands before moto. ``refused`` are methods that are answered with 503, ``lost`` those whose answer is lost."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.lost: list[str] = []

    def __call__(self, app: WsgiApp) -> WsgiApp:
        def answer(environ: Environ, start: StartResponse) -> Iterable[bytes]:
            state = environ.get("HTTP_X_AMZ_META_IMGSERVE_STATE", "")
            if state in self.lost:
                self.lost.remove(state)
                list(app(environ, lambda *_: lambda _: None))
            elif state in self.refused:
                environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            else:
                return app(environ, start)
            start("503 Slow Down", [("Content-Length", "0")])
            return [b""]

        return answer


class Shop(NamedTuple):
    store: ObjectStore
    trouble: Trouble
    server: Daemon
    call: Caller

    def output(self, name: str, width: int = 60, **fields: object) -> dict[str, object]:
        recipe = {"operations": [{"operation": "resize", "width": width}]}
        return recipe | {"destination": f"{self.store.url}/{name}"} | fields

    def job(self, source: str, *outputs: dict[str, object], **fields: object) -> dict[str, object]:
        return {"source": f"{self.store.url}/{source}", "outputs": list(outputs), **fields}

    def done(self, job: dict[str, object]) -> Any:
        """The job, once it has ended."""
        answer = self.call.submit(job)
        assert answer.status == 202, answer
        return self.call.ended(answer.body["id"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    top, trouble = tmp_path_factory.mktemp("buckets"), Trouble()
    with ObjectStore(trouble) as store:
        (top / "imgserve.toml").write_text(store.settings)
        server = Daemon(
            top / "data", *LOOPBACK, "--config", str(top / "imgserve.toml"),
            switches=TIMES, environment={"SECRET": "hush-hush"},
        )  # fmt: skip
        with server:
            assert "obstore" not in Path(f"/proc/{server.pid}/maps").read_text(), "few servers need it"
            yield Shop(store, trouble, server, Caller(server))
            assert "obstore" in Path(f"/proc/{server.pid}/maps").read_text()
            assert server.stop() == 0  # which writes the log to its end
        assert "hush-hush" not in server.log


@pytest.fixture
def shop(running: Shop) -> Shop:
    running.store.clear()
    running.store.put("in/photo.jpg", PHOTO)
    running.trouble.refused.clear()
    running.trouble.lost.clear()
    return running


def test_sizes_of_a_picture_in_a_bucket(shop: Shop) -> None:
    outputs = (shop.output("out/{$basename}-{$width}.webp", 60), shop.output("out/{$basename}-{$width}.png", 30))
    job = shop.done(shop.job("in/photo.jpg", *outputs))
    assert job["status"] == "succeeded"
    for output, key in zip(job["outputs"], ("out/photo-60.webp", "out/photo-30.png"), strict=True):
        found = shop.store.get(key)
        assert found is not None
        assert output["destination"] == f"{shop.store.url}/{key}"
        assert output["sha256"] == sha256(found.body)
        assert found.headers["content-type"] == f"image/{key.rpartition('.')[2]}"
        assert found.state == "final"


def test_the_placeholder_is_there_with_the_reply(shop: Shop) -> None:
    shop.trouble.refused.append("final")
    answer = shop.call.submit(shop.job("in/photo.jpg", shop.output("a.png")))
    found = shop.store.get("a.png")
    assert answer.body["outputs"][0]["placeholder"] == "written"
    assert found is not None
    assert (found.state, found.headers["cache-control"]) == ("placeholder", "no-store")
    shop.trouble.refused.clear()
    assert shop.call.ended(answer.body["id"])["status"] == "succeeded"


def test_the_final_goes_under_the_etag_that_the_queue_has_kept(shop: Shop) -> None:
    shop.done(shop.job("in/photo.jpg", shop.output("first.png")))
    shop.store.requests.clear()
    shop.done(shop.job("in/photo.jpg", shop.output("a.png")))
    of_output = [method for method, path in shop.store.requests if path.endswith("a.png")]
    assert of_output == ["HEAD", "PUT", "PUT"]


@pytest.mark.parametrize("state", ["placeholder", "final"])
def test_an_answer_that_is_lost(shop: Shop, state: str) -> None:
    shop.done(shop.job("in/photo.jpg", shop.output("first.png")))
    shop.trouble.lost.append(state)
    job = shop.done(shop.job("in/photo.jpg", shop.output("a.png")))
    assert (job["status"], job["outputs"][0]["placeholder"]) == ("succeeded", "written")
    assert not shop.trouble.lost


def test_a_failure_picture_and_a_deletion(shop: Shop) -> None:
    sources = ("in/broken.jpg", "in/photo.jpg")
    shop.store.put(sources[0], PHOTO[:2000] + b"\0" * 100)
    shop.store.put("own.png", b"somebody else's")
    outputs = (
        shop.output("failed.png", 61),
        shop.output("deleted.png", 62, on_failure="delete"),
        shop.output("kept.png", 63, on_failure="keep_placeholder"),
        shop.output("own.png", 64, placeholder={"if_exists": "keep"}),
    )
    strict = [output | {"load": {"strict": True}} for output in outputs]
    job = shop.done(shop.job("in/broken.jpg", *strict))
    assert job["status"] == "failed"
    assert [output["placeholder"] for output in job["outputs"]] == ["written"] * 3 + ["kept"]
    while any(output["owed"] for output in shop.call.job(job["id"])["outputs"]):
        pass
    states = {name: found.state for name in shop.store.names() if (found := shop.store.get(name))}
    assert states == {"failed.png": "failed", "kept.png": "placeholder", "own.png": "", **dict.fromkeys(sources, "")}


def test_what_is_refused(shop: Shop) -> None:
    missing = shop.call.submit(shop.job("in/none.jpg", shop.output("a.png")))
    assert (missing.status, missing.body["code"]) == (422, "source_not_found")
    itself = shop.call.submit(shop.job("in/photo.jpg", shop.output("in%2Fphoto.jpg")))
    assert itself.faults == [("outputs[0].destination", "destination_refused")]
    elsewhere = shop.call.submit(shop.job("in/photo.jpg", shop.output("a.png") | {"destination": "s3://another/a.png"}))
    assert elsewhere.faults == [("outputs[0].destination", "credential_not_allowed")]


def test_the_classic_protocol(shop: Shop) -> None:
    def reply(source: str, destination: str, **fields: object) -> dict[str, object]:
        job = {"operationType": "resize", "srcURL": source, "dstURL": destination, "args": {"width": 60}}
        return shop.server.post(job | fields).body

    own = f"{shop.store.url}/in/photo.jpg"
    place = f"{shop.store.url}/out/{{$basename}}-{{$width}}.{{$ext}}"
    assert reply(own, place) == {"dstURL": f"{shop.store.url}/out/photo-60.jpg"}
    wait_until(lambda: (found := shop.store.get("out/photo-60.jpg")) and found.state == "final")
    for source, destination, number, field in (
        ("s3://another/a.jpg", place, 115, "srcURL"),
        (own, "s3://another/a.jpg", 116, "dstURL"),
        (own, own, 116, "dstURL"),
    ):
        refused = reply(source, destination)
        assert refused["code"] == number
        assert str(refused["detail"]).startswith(f"{field}: ")


def test_a_newer_job_supersedes_an_older_one(shop: Shop) -> None:
    shop.trouble.refused.append("final")
    older = shop.call.submit(shop.job("in/photo.jpg", shop.output("a.png", 60)))
    newer = shop.call.submit(shop.job("in/photo.jpg", shop.output("a.png", 50)))
    shop.trouble.refused.clear()
    assert shop.call.ended(older.body["id"])["status"] == "superseded"
    last = shop.call.ended(newer.body["id"])
    found = shop.store.get("a.png")
    assert found is not None
    assert last["outputs"][0]["sha256"] == sha256(found.body)


def test_a_render_and_a_watermark_of_a_bucket(shop: Shop) -> None:
    watermark = {"operation": "composite", "image": f"{shop.store.url}/in/photo.jpg", "width": "20%"}
    recipe = {"operations": [{"operation": "resize", "width": 60}, watermark], "encode": {"format": "png"}}
    call = urllib.request.Request(
        f"{shop.server.url}/v1/render",
        json.dumps({"source": f"{shop.store.url}/in/photo.jpg", **recipe}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(call) as answer:
        assert opened(answer.read()).size == (60, 45)
    job = shop.done(shop.job("in/photo.jpg", {"destination": f"{shop.store.url}/a.png", **recipe}))
    assert job["status"] == "succeeded"
    watermark["image"] = "s3://another/logo.png"
    refused = shop.call.submit(shop.job("in/photo.jpg", {"destination": f"{shop.store.url}/b.png", **recipe}))
    assert refused.body["code"] == "credential_not_allowed"
    assert refused.faults == [("outputs[0].operations[1].image", "credential_not_allowed")]
    on_demand = shop.call("POST", "/v1/render", {"source": f"{shop.store.url}/in/photo.jpg", **recipe})
    assert (on_demand.status, on_demand.body["code"]) == (422, "credential_not_allowed")
    assert on_demand.faults == [("operations[1].image", "credential_not_allowed")]


def presigned(url: str, date: datetime, lasts_s: int) -> str:
    return f"{url}?X-Amz-Date={date:%Y%m%dT%H%M%SZ}&X-Amz-Expires={lasts_s}&X-Amz-Signature=0123abcd"


def test_a_presigned_url_ends_its_job(shop: Shop, tmp_path: Path) -> None:
    begins = datetime.now(UTC).replace(microsecond=0)
    expires = begins + timedelta(hours=1)
    with HttpReceiver(tmp_path) as web:
        good, late = presigned(f"{web.url}/a.png", begins, 3600), presigned(f"{web.url}/b.png", begins, 200_000)
        outputs = (shop.output("a.png") | {"destination": good}, shop.output("a.png") | {"destination": late})
        job = shop.job("in/photo.jpg", *outputs)
        preview = shop.call("POST", "/v1/jobs?dry_run=true", job).body
        done = shop.done(job)
    for shown in (preview, done):
        assert abs(datetime.fromisoformat(shown["deadline_at"]) - expires) < timedelta(seconds=1)
        [warning] = shown["warnings"]
        assert (warning["path"], warning["code"]) == ("outputs[0].destination", "destination_expires")
        assert f"{expires:%Y-%m-%dT%H:%M:%SZ}" in warning["detail"]
    assert done["status"] == "succeeded"


@pytest.mark.parametrize(("ago_s", "code"), [(3600, "destination_expired"), (0, "delivery_failed")])
def test_a_403_after_the_expiry(shop: Shop, tmp_path: Path, ago_s: int, code: str) -> None:
    begins = datetime.now(UTC) - timedelta(seconds=ago_s)
    with HttpReceiver(tmp_path) as web:
        web.behave("/a.png", Behaviour(status=403, kinds=("PUT",)))
        output = shop.output("a.png") | {"destination": presigned(f"{web.url}/a.png", begins, 900)}
        refused = shop.call.submit(shop.job("in/photo.jpg", output))
        assert (refused.status, refused.faults) == (422, [("outputs[0].destination", code)])
        assert "0123abcd" not in str(refused.body)
        classic = shop.server.post({
            "operationType": "resize", "srcURL": f"{shop.store.url}/in/photo.jpg", "dstURL": output["destination"],
            "args": {"width": 60, "method": "PUT"},
        })  # fmt: skip
        assert classic.body["code"] == 205
        unasked = shop.done(shop.job("in/photo.jpg", output | {"placeholder": "none"}))
    assert unasked["outputs"][0]["error"]["code"] == code
    assert unasked["outputs"][0]["error"]["retryable"] is False
