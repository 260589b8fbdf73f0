"""The API answers as its description says, to requests that are made from it: valid ones, and ones with a fault.

Schemathesis makes them, and checks status, media type, body and headers of each answer. No answer may be a 500.
"""

import base64
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from imgserve.api.config import Config
from imgserve.api.routes import table
from tests.support.daemon import Daemon
from tests.support.pictures import encoded, scene
from tests.support.sizes import IS_FULL, Figures, sized

PICTURE = encoded(scene(40, 30), "png")
AS_URL = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
EXAMPLES = sized(12, 1000)
# A stream is read for so long.
STREAMS, STREAM_S = sized(4, 100), 0.5
ROUTES = [(row.method, row.path) for row in table(Config()) if row.path.startswith("/v1/") and row.right != "local"]
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
NAMES = [f"{method} {path.removeprefix('/v1/')}" for method, path in ROUTES]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    # Small results: some ask for one of any size.
    switches = {"max_output_pixels": 100_000}
    top = tmp_path_factory.mktemp("conformance")
    (top / "picture.png").write_bytes(PICTURE)
    (top / "out").mkdir()
    roots = ("--read-root", str(top), "--write-root", str(top / "out"))
    with Daemon(top / "data", *roots, switches=switches) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def described(server: Daemon) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{server.url}/v1/openapi.json")


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_answers_are_as_described(
    server: Daemon, described: schemathesis.BaseSchema, route: tuple[str, str], figures: Figures
) -> None:
    method, path = route
    is_stream = (method, path) == ("GET", "/v1/events")
    top = server.data_dir.parent
    answers: Counter[int] = Counter()

    @settings(
        max_examples=STREAMS if is_stream else EXAMPLES,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path][method].as_strategy(), is_picture=st.booleans())
    def ask(case: schemathesis.Case[Any], is_picture: bool) -> None:
        if is_picture:
            _bring_picture(case, top)
        response = case.call(timeout=STREAM_S if is_stream else None)
        answers[response.status_code] += 1
        checks = [check for check in CHECKS if check is not not_a_server_error or not _is_of_another_host(response)]
        case.validate_response(response, checks=checks)

    ask()
    if IS_FULL and method == "POST" and "{job_id}" not in path:
        assert {200, 202} & set(answers), "no request brought a picture and a recipe that fits it"
    figures("answers", dict(sorted(answers.items())))
    assert answers.total() >= (EXAMPLES if method == "POST" else 1)


def _is_of_another_host(response: schemathesis.Response) -> bool:
    """A client that waits for a picture of a host that is not there gets 502, as described."""
    return response.status_code == 502 and response.json()["code"] == "source_unavailable"


def _bring_picture(case: schemathesis.Case[Any], top: Path) -> None:
    """Of all texts and bytes hardly any is a picture, the name of a preset, or JSON."""
    if isinstance(case.body, bytes):
        case.body = PICTURE
        case.query.clear()
    elif isinstance(case.body, dict) and isinstance(outputs := case.body.get("outputs"), list):
        case.body["source"] = f"file://{top}/picture.png"
        for index, output in enumerate(outputs):
            if isinstance(output, dict):
                output["destination"] = f"file://{top}/out/{index}.png"
                output.pop("preset", None)
    elif isinstance(case.body, dict) and "source" in case.body:
        case.body["source"] = AS_URL
        case.body.pop("preset", None)
        case.query.clear()
