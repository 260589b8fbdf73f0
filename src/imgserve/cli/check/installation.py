"""The installation: whether the server can be loaded with the packages that it requires. For ``report``.

pyvips is imported by workers alone: a worker that starts shows that it can be.
"""

import importlib
import platform
import sys
from collections.abc import Iterator

from imgserve.cli.check import libraries
from imgserve.cli.check.finding import Finding, fault, ok

MODULES = ("shtab", "imgserve.server.lifecycle")  # with all that they import
_REMEDY = "install imgserve anew, with make setup, or with pip into a virtual environment of its own"


def look() -> Iterator[Finding]:
    try:
        for name in MODULES:
            importlib.import_module(name)
    except ImportError as error:
        yield fault("packages", f"{name} cannot be imported: {error}", _REMEDY)
    else:
        yield ok("packages", f"Python {platform.python_version()} at {sys.prefix} has all that is required")
    yield from libraries.look()
