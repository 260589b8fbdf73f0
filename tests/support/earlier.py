"""An earlier release as it was: its sources from the history of git, run with the packages of today's environment.

Workers are started in isolated mode, which ignores PYTHONPATH, so the release gets an environment of its own: one whose
paths name its sources first. Metadata lie beside them, since a server reads its version there.
"""

import subprocess
import sys
import sysconfig
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
# A recipe for each operation.
RECIPES = "docs/images/operations/recipes.json"


def python_of(release: str, directory: Path) -> Path:
    """The interpreter of an environment in which ``release`` is imgserve. ``directory`` has all of it, and RECIPES."""
    sources = directory / "src"
    with tarfile.open(fileobj=BytesIO(_git("archive", _commit_of(release), "src", RECIPES))) as archive:
        archive.extractall(directory, filter="data")
    metadata = sources / f"imgserve-{release}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: imgserve\nVersion: {release}\n")
    environment = directory / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=120)
    # Of the directory of packages no .pth is read, and so not the one that names the sources of today.
    names = f"{sources}\n{sysconfig.get_path('purelib')}\n"
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "earlier.pth").write_text(names)
    return environment / "bin" / "python"


def _commit_of(release: str) -> str:
    subject = f"^Release {release.replace('.', '[.]')}$"
    found = _git("log", "--format=%H", f"--grep={subject}", "-1").decode().strip()
    if not found:
        pytest.fail(
            f"expected a commit 'Release {release}' in git's history; for a shallow clone: git fetch --unshallow"
        )
    return found


def _git(*words: str) -> bytes:
    result = subprocess.run(["git", "-C", str(HOUSE), *words], capture_output=True, timeout=120)
    if result.returncode:
        pytest.fail(f"expected the sources of the release in git's history: {result.stderr.decode()}")
    return result.stdout
