"""Commands that are called by the minute load only what they need: no libcurl, no web framework, no queue."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "apsw", "asyncio", "certifi", "httptools", "opentelemetry", "prometheus_client", "pycurl", "rich",
    "shtab", "uvicorn", "uvloop",
}  # fmt: skip
OWN = {
    "imgserve.api.app", "imgserve.engine.runner", "imgserve.imaging.pool", "imgserve.jobs.model",
    "imgserve.request.native", "imgserve.request.url",
    "imgserve.server.lifecycle", "imgserve.telemetry.logs", "imgserve.transfer.dispatch",
}  # fmt: skip
CODE = """
import json, sys
from imgserve.cli.main import main
status = main(sys.argv[1:])
sys.stderr.write(json.dumps([status, sorted(sys.modules)]))
"""


def loaded(*words: str) -> tuple[int, set[str]]:
    done = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stderr)
    return status, set(modules)


@pytest.mark.parametrize(("command", "expected"), [("status", 3), ("stop", 0)])
def test_asking_for_a_server_loads_none(tmp_path: Path, command: str, expected: int) -> None:
    places = "--data-dir", str(tmp_path / "data"), "--pid-file", str(tmp_path / "pid")
    status, modules = loaded(command, *places)
    assert status == expected
    assert "imgserve.cli.owner" in modules
    assert not modules & (HEAVY | OWN)


@pytest.mark.parametrize("words", [("version",), ("--version",), ("help",), ("help", "status")])
def test_help_loads_nothing(words: tuple[str, ...]) -> None:
    status, modules = loaded(*words)
    assert status == 0
    assert not modules & (HEAVY | OWN | {"imgserve.cli.owner"})
