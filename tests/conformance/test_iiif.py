"""The validator of the IIIF consortium, at level 2 of both versions, against the real server. It chooses by chance."""

import ctypes.util
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.daemon import Daemon
from tests.support.peers import PYTHON, mounted
from tests.support.sizes import PATIENCE_S, Figures, sized

pytestmark = pytest.mark.skipif(ctypes.util.find_library("magic") is None, reason="needs libmagic (Debian: libmagic1)")
IDENTIFIER = "67352ccc-d1b0-11e1-89ae-279075081939"
RUNS = sized(1, 5)
TESTS = {"3.0": 33, "2.0": 30}
"""How many the validator has at level 2: fewer have not been tried."""

# The picture that it looks for: a hundred squares, whose colours it knows.
DRAW = """
import sys
from iiif_validator.validator import ValidationInfo
from PIL import Image
picture = Image.new("RGB", (1000, 1000))
for column, colors in enumerate(ValidationInfo().colorInfo):
    for row, color in enumerate(colors):
        picture.paste(color, (100 * column, 100 * row, 100 * column + 100, 100 * row + 100))
picture.save(sys.argv[1], "PNG")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    top = tmp_path_factory.mktemp("iiif")
    with mounted(top, "iiif", workers=2) as server:
        subprocess.run([PYTHON, "-c", DRAW, str(top / "pictures" / IDENTIFIER)], check=True, timeout=PATIENCE_S)
        yield server


@pytest.mark.parametrize("version", TESTS)
def test_the_validator_finds_level_2(server: Daemon, version: str, figures: Figures) -> None:
    program = str(Path(PYTHON).with_name("iiif-validate.py"))
    command = [PYTHON, program, "--server", urlsplit(server.url).netloc, "--prefix", f"iiif/{version[0]}"]
    command += ["--identifier", IDENTIFIER, "--version", version, "--level", "2"]
    for _ in range(RUNS):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said
        assert re.findall(r"Done \((\d+) tests, (\d+) failures\)", said) == [(str(TESTS[version]), "0")], said
    figures(f"iiif-validator, {version}", f"{RUNS} runs of {TESTS[version]} tests passed")
