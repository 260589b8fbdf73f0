"""The installation: the required packages and their versions, and whether the server can be loaded. For ``report``.

pyvips is imported by workers alone: a worker that starts shows that it can be.
"""

import importlib
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata

from imgserve.cli.check import libraries
from imgserve.cli.check.finding import Finding, fault, ok

MODULES = ("shtab", "imgserve.server.lifecycle")  # with all that they import
_REMEDY = "install imgserve anew, with make setup, or with pip into a virtual environment of its own"


def look() -> Iterator[Finding]:
    if problems := [*_wrong_versions(), *_not_importable()]:
        yield fault("packages", "; ".join(problems), _REMEDY)
    else:
        yield ok("packages", f"Python {platform.python_version()} at {sys.prefix} has all that is required")
    yield from libraries.look()


def _wrong_versions() -> Iterator[str]:
    for requirement in metadata.requires("imgserve") or ():
        if ";" in requirement:  # an extra, or not for every machine
            continue
        name, least = re.split(r"[^\w.-]", requirement)[0], requirement.partition(">=")[2]
        try:
            if _numbers(version := metadata.version(name)) < _numbers(least):
                yield f"{name} is {version}, expected {least} or newer"
        except metadata.PackageNotFoundError:
            yield f"{name} is missing"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _not_importable() -> Iterator[str]:
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield f"{name} cannot be imported: {error}"
