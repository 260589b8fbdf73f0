"""docs/quickstart-v1.md, command by command, on ports of this test. In full size it begins without an installation."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.pages import commands_in, programs_in, settings_in
from tests.support.ports import free_port
from tests.support.sizes import IS_FULL, PATIENCE_S, sized

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/quickstart-v1.md").read_text()
PORTS = ("8602", "9000", "9001")
INSTALLING = 2  # of the commands
LOOK_BEGINS = "curl -sSo "
LOOK = LOOK_BEGINS + "{name} --user quickstart:any --aws-sigv4 aws:amz:us-east-1:s3 http://127.0.0.1:9000/shop/{name}"
SIZES = {"hills-1200.webp": (1200, 900), "hills-800.webp": (800, 600), "hills-400.webp": (400, 300),
         "hills-200.webp": (200, 150), "hills-100.webp": (100, 75)}  # fmt: skip


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A checkout, with the environment of this test or, in full size, without any."""
    for name in sized(("examples",), ("examples", "src", "requirements")):
        ignored = shutil.ignore_patterns("*.egg-info", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    if not IS_FULL:
        (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def on_free_ports(text: str) -> str:
    for port in PORTS:
        text = text.replace(port, str(free_port()))
    return text


def test_five_sizes_in_a_bucket(sources: Path) -> None:
    page, look = on_free_ports(PAGE + LOOK).split(LOOK_BEGINS)
    commands = [line for block in commands_in(page) for line in block.splitlines()]
    (program,), (settings,) = programs_in(page), settings_in(page)
    assert len(commands) <= 8
    assert len(program.splitlines()) <= 30
    (sources / "sizes.py").write_text(program)
    (sources / "quickstart.toml").write_text(settings)
    looks = [LOOK_BEGINS + look.format(name=name) for name in SIZES]
    *commands, stop = commands[0 if IS_FULL else INSTALLING :]
    script = "\n".join(["set -e", f"trap '{stop}' ERR", "trap 'kill %1; wait' EXIT", *commands, *looks, stop])
    ended = subprocess.run(
        ["bash", "-c", script], cwd=sources, capture_output=True, text=True, timeout=sized(PATIENCE_S, 900), check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = ["job.succeeded", *(f"s3://shop/{name} {width} x {height}" for name, (width, height) in SIZES.items())]
    assert "\n".join(told) in ended.stdout
    for name, size in SIZES.items():
        with Image.open(sources / name) as picture:
            red, green, _ = picture.convert("RGB").split()
            assert (picture.format, picture.size, red == green) == ("WEBP", size, False), "a placeholder is grey"
