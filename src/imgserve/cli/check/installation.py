"""The installation: Python, the required packages, libturbojpeg, fonts. Called by ``report``.

pyvips is not imported here, as nowhere outside a worker: a worker that starts shows that it can be.
"""

import importlib
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path

from imgserve.cli.check import libraries
from imgserve.cli.check.finding import Finding, fault, ok, warning

PYTHON = (3, 11)
MODULES = (
    "apsw", "certifi", "httptools", "litestar", "msgspec", "pycurl", "shtab", "uvicorn", "uvloop",
    "imgserve.server.build",
)  # fmt: skip
FONT_DIRECTORIES = ("/usr/share/fonts", "/usr/local/share/fonts")
FONT_SUFFIXES = frozenset({".ttf", ".otf", ".ttc", ".pfb", ".pcf", ".woff"})
_MEND = "install imgserve anew, with make setup, or with pip into a virtual environment of its own"


def look() -> Iterator[Finding]:
    python = f"Python {platform.python_version()} at {sys.prefix}"
    if sys.version_info < PYTHON:
        yield fault("python", python, "imgserve needs Python 3.11 or newer")
    else:
        yield ok("python", python)
    yield from _packages()
    yield from libraries.look()
    yield from _fonts()


def _packages() -> Iterator[Finding]:
    wrong, found = [], []
    for requirement in metadata.requires("imgserve") or ():
        if ";" in requirement:  # an extra, or not for every machine
            continue
        name = re.split(r"[^\w.-]", requirement)[0]
        least = requirement.partition(">=")[2]
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        found.append(f"{name} {there}")
        if _numbers(there) < _numbers(least):
            wrong.append(f"{name} is {there}, expected {least} or newer")
    wrong += [f"{name} cannot be imported: {reason}" for name in MODULES if (reason := _import_fault(name))]
    if wrong:
        yield fault("packages", "; ".join(wrong), _MEND)
    else:
        yield ok("packages", ", ".join(sorted(found)))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _import_fault(name: str) -> str:
    try:
        importlib.import_module(name)
    except ImportError as error:
        return str(error)
    return ""


def _fonts() -> Iterator[Finding]:
    own = [place.name for place in (resources.files("imgserve") / "fonts").iterdir() if place.name.endswith(".ttf")]
    if not own:
        yield fault("fonts", "the font for the words on placeholders is missing", _MEND)
    system = sum(path.suffix.lower() in FONT_SUFFIXES for top in FONT_DIRECTORIES for path in Path(top).rglob("*"))
    if system:
        yield ok("fonts", f"{', '.join(own)} for placeholders, {system} font files of the system for text in SVGs")
    else:
        yield warning(
            "fonts",
            "the system has no fonts: text in SVGs may be missing",
            "on Debian: apt-get install fonts-dejavu-core",
        )
