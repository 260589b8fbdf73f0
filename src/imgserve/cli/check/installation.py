"""The installation: are the required packages there, new enough, and can the server be loaded? Called by ``report``.

pyvips is not imported here, as nowhere outside a worker: a worker that starts shows that it can be.
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
_MEND = "install imgserve anew, with make setup, or with pip into a virtual environment of its own"


def look() -> Iterator[Finding]:
    wrong = [*_wrong_versions(), *(f"{name} cannot be imported: {why}" for name in MODULES if (why := _fault_of(name)))]
    if wrong:
        yield fault("packages", "; ".join(wrong), _MEND)
    else:
        yield ok("packages", f"Python {platform.python_version()} at {sys.prefix} has all that is required")
    yield from libraries.look()


def _wrong_versions() -> Iterator[str]:
    for requirement in metadata.requires("imgserve") or ():
        if ";" in requirement:  # an extra, or not for every machine
            continue
        name, least = re.split(r"[^\w.-]", requirement)[0], requirement.partition(">=")[2]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield f"{name} is missing"
            continue
        if _numbers(version) < _numbers(least):
            yield f"{name} is {version}, expected {least} or newer"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _fault_of(module: str) -> str:
    try:
        importlib.import_module(module)
    except ImportError as error:
        return str(error)
    return ""
