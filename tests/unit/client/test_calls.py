"""What the client sends is what the server reads, whatever the Structs hold."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings

import imgserve.client
from imgserve.client import Upload, calls
from imgserve.request.faults import RequestInvalid
from imgserve.request.job import JobRequest
from imgserve.request.job_body import OutputBody, PlaceholderBody
from imgserve.request.native import OPERATIONS, parse_recipe
from imgserve.request.native_destination import DestinationBody, dump_destination
from imgserve.request.native_job import dump_job
from imgserve.request.native_source import SourceBody
from imgserve.request.native_webhook import WebhookBody, dump_webhook
from tests.support.sizes import sized
from tests.unit.request.test_native_job import JOBS, parsed
from tests.unit.request.test_properties import steady


def sent(value: dict[str, Any], request: JobRequest) -> object:
    """The JSON of a client that has made this job, which the server reads as ``request``, of the public Structs."""
    outputs = []
    for fields, output in zip(value["outputs"], request.outputs, strict=True):
        recipe = parse_recipe({name: fields[name] for name in ("load", "operations", "encode") if name in fields})
        place, placeholder = dump_destination(output.destination), output.placeholder
        outputs.append(
            OutputBody(
                name=output.name,
                operations=recipe.operations,
                load=recipe.load,
                encode=recipe.encode,
                destination=place if isinstance(place, str) else msgspec.convert(place, DestinationBody),
                placeholder=PlaceholderBody(placeholder.style, placeholder.color, placeholder.text, output.if_exists),
                on_failure=output.on_failure,
            )
        )
    options: calls.JobOptions = {"priority": request.priority, "metadata": request.metadata}
    if request.not_before is not None:
        options["not_before"] = datetime.fromtimestamp(request.not_before, UTC)
    if request.deadline_s is not None:
        options["deadline_s"] = request.deadline_s
    if request.webhook is not None:
        webhook = dump_webhook(request.webhook)
        options["webhook"] = webhook if isinstance(webhook, str) else msgspec.convert(webhook, WebhookBody)
    source: Any = dump_job(request)["source"]
    is_object = isinstance(source, dict) and "url" in source
    of_structs = msgspec.convert(source, SourceBody) if is_object else source
    return json.loads(calls.submit(of_structs, outputs, "key", options).request.body)


@settings(steady, max_examples=sized(60, 2000))
@given(JOBS)
def test_the_server_reads_what_the_client_writes(value: dict[str, Any]) -> None:
    try:
        request = parsed(value)
    except RequestInvalid:
        assume(False)
    assert parsed(sent(value, request)) == request


def test_defaults_are_left_out() -> None:
    output = OutputBody(operations=(OPERATIONS["resize"](width=20),), destination="file:///a.png")  # type: ignore[call-arg]
    body = json.loads(calls.preview("https://h.test/a.jpg", [output], {}).request.body)
    expected = {"operations": [{"operation": "resize", "width": 20}], "destination": "file:///a.png"}
    assert body == {"source": "https://h.test/a.jpg", "outputs": [expected]}


def test_filters() -> None:
    moment = datetime(2026, 11, 29, 12, tzinfo=UTC)
    request = calls.page(
        {"status": ("failed", "cancelled"), "created_after": moment, "destination": "s3://a/b"}, "n"
    ).request
    assert dict(request.query) == {
        "status": "failed,cancelled", "created_after": "2026-11-29T12:00:00+00:00", "destination": "s3://a/b",
        "limit": "100", "cursor": "n",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["", "job", 'a".jpg', "a\r\nb", "a\\b", "x" * 201])
def test_a_name_that_no_form_can_hold(name: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a file"):
        Upload(b"", name)


@pytest.mark.parametrize("struct", OPERATIONS.values(), ids=OPERATIONS)
def test_every_operation_has_its_public_name(struct: type[msgspec.Struct]) -> None:
    assert getattr(imgserve.client, struct.__name__) is struct
    assert struct.__name__ in imgserve.client.__all__


def test_the_package_is_light() -> None:
    """No libcurl, no libvips, nothing of a server."""
    code = "import imgserve.client, json, sys; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    heavy = {"pycurl", "pyvips", "apsw", "uvicorn", "uvloop", "obstore", "prometheus_client"}
    own = {name.split(".")[1] for name in loaded if name.startswith("imgserve.")}
    assert not heavy & set(loaded)
    assert own <= {"api", "client", "engine", "errors", "request", "setting"}
    figures = ["imgserve.engine.cache", "imgserve.engine.cache.stats"]
    assert [name for name in loaded if name.startswith("imgserve.engine.")] == figures
    assert [name for name in loaded if name.startswith("imgserve.api.")] == ["imgserve.api.control_socket"]
