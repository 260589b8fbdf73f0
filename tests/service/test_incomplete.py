"""What the command says where packages are missing, and what it does without where it can."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

# What each package that imgserve requires is imported as.
MODULES = {
    "apsw": "apsw", "certifi": "certifi", "httptools": "httptools",
    "msgspec": "msgspec", "multipart": "multipart", "prometheus-client": "prometheus_client",
    "pycurl": "pycurl", "shtab": "shtab", "uvicorn": "uvicorn", "uvloop": "uvloop",
}  # fmt: skip
# Of workers, a progress bar, the client, webhooks, object stores, and queues in PostgreSQL.
NOT_AT_ONCE = {"deflate", "httpx", "obstore", "pillow", "psycopg", "py-svg-hush", "pyvips", "rich", "standardwebhooks"}
HEAVY = ("uvicorn", "uvloop", "pyvips", "rich", "shtab", "opentelemetry")


def without(module: str, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command where ``module`` cannot be found."""
    (tmp_path / f"{module}.py").write_text(
        f"raise ModuleNotFoundError({f'No module named {module!r}'!r}, name={module!r})"
    )
    command = [sys.executable, "-m", "imgserve", *words]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "IMGSERVE_WORKERS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("module", MODULES.values())
def test_check_names_what_is_missing(module: str, tmp_path: Path) -> None:
    told = without(module, tmp_path, "check", "--data-dir", str(tmp_path / "data"))
    assert told.returncode == 2
    assert "Traceback" not in told.stdout + told.stderr
    assert f"No module named '{module}'" in told.stdout + told.stderr
    assert "install imgserve anew" in told.stdout + told.stderr


@pytest.mark.parametrize(("module", "words"), [("uvicorn", "start"), ("msgspec", "help"), ("shtab", "completion bash")])
def test_other_commands_do_too(module: str, words: str, tmp_path: Path) -> None:
    told = without(module, tmp_path, *words.split())
    assert told.returncode == 1
    assert told.stderr == (
        f"imgserve: the package {module} is missing or broken (No module named '{module}'): install imgserve anew, "
        "with make setup, or with pip into a virtual environment of its own\n"
    )


def test_every_requirement_is_tried() -> None:
    required = metadata.requires("imgserve") or ()
    names = {re.split(r"[^\w.-]", one)[0] for one in required if ";" not in one}
    assert names == set(MODULES) | NOT_AT_ONCE


@pytest.mark.parametrize("module", ["imgserve.settings.load", "imgserve.cli.main", "imgserve.cli.check.report"])
def test_commands_load_no_server(module: str) -> None:
    """Each of these costs as much as all the rest of a command."""
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == "[]\n"
