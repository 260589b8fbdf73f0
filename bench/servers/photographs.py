"""Photographs from packages of Debian, or drawn ones where there are none. Called by ``sources``.

``apt-get download`` needs no root, and nothing is installed: the archive is unpacked here. The photographs are nobody's
to be handed on by this repository, so they are kept beside the virtual environment, and not in it.
"""

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyvips
from bench.picture import photo

LEAST_WIDTH_PX = 2040
# Those that show the world; the packages have drawings too.
PACKAGES = {
    "plasma-workspace-wallpapers": (
        "Autumn", "BytheWater", "ColdRipple", "ColorfulCups", "EveningGlow", "FallenLeaf", "Kite",
    ),
    "mate-backgrounds": ("Garden", "LadyBird", "TwoWings", "Wood", "YellowFlower"),
}  # fmt: skip
_DRAWN, _DRAWN_SIZE = 6, (2560, 1600)


class NoPhotographs(Exception):
    """No package could be had, or it has other pictures than it had."""


def photographs(directory: Path, given: Path | None = None) -> tuple[Sequence[Path], str]:
    """Files at least 2040 px wide, in the order of their names, and where they come from.

    ``given``: a directory with photographs of the user's own. Raises NoPhotographs: it has none.
    """
    if given is not None:
        paths = _wide_enough(given)
        if not paths:
            raise NoPhotographs(f"{given}: expected JPEG files at least {LEAST_WIDTH_PX} px wide, got none")
        return paths, f"{len(paths)} photographs of {given.name}"
    directory.mkdir(parents=True, exist_ok=True)
    paths = _wide_enough(directory)
    if not paths:
        for package, names in PACKAGES.items():
            _unpack(package, names, directory)
        paths = _wide_enough(directory)
    if paths:
        return paths, f"{len(paths)} photographs of Debian's packages {' and '.join(PACKAGES)}"
    drawn = directory / "drawn"
    drawn.mkdir(exist_ok=True)
    for number in range(_DRAWN):
        (drawn / f"{number}.jpg").write_bytes(photo(*_DRAWN_SIZE, seed=number))
    return _wide_enough(drawn), f"{_DRAWN} pictures drawn by bench/picture.py, since no package of photographs is there"


def _wide_enough(directory: Path) -> list[Path]:
    paths = sorted(path for pattern in ("*.jpg", "*.jpeg") for path in directory.glob(pattern))
    return [path for path in paths if pyvips.Image.new_from_file(str(path)).width >= LEAST_WIDTH_PX]


def _unpack(package: str, names: Sequence[str], directory: Path) -> None:
    """Nothing where there is no apt, or no such package."""
    with tempfile.TemporaryDirectory() as name:
        try:
            subprocess.run(["apt-get", "download", "-qq", package], cwd=name, check=True, capture_output=True)
            archive = next(Path(name).glob("*.deb"))
            tar = subprocess.run(
                ["dpkg-deb", "--fsys-tarfile", archive.name], cwd=name, check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            detail = (
                error.stderr.decode(errors="replace") if isinstance(error, subprocess.CalledProcessError) else error
            )
            print(f"{package} cannot be downloaded, so its photographs are missing: {str(detail).strip()}")
            return
        with tarfile.open(fileobj=io.BytesIO(tar.stdout)) as content:
            for title, entry in _largest(content, names).items():
                file = content.extractfile(entry)
                assert file is not None
                (directory / f"{title}.jpg").write_bytes(file.read())


def _largest(content: tarfile.TarFile, names: Sequence[str]) -> dict[str, tarfile.TarInfo]:
    """Of each name the largest JPEG: the same photograph is there in several sizes."""
    largest: dict[str, tarfile.TarInfo] = {}
    for entry in content:
        path = Path(entry.name)
        title = next((part for part in (*path.parts, path.stem) if part in names), None)
        if title is not None and path.suffix == ".jpg" and entry.isfile():
            largest[title] = max(entry, largest.get(title, entry), key=lambda one: one.size)
    return largest
