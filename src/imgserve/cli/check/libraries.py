"""Libraries that see pictures and come neither with imgserve nor in its pinned wheels. Called by ``installation``.

expat is the interpreter's or its distribution's, libturbojpeg the system's. One table here has the known holes of each
version, taken from the projects' own lists of changes.
"""

import ctypes
import ctypes.util
import platform
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from imgserve.cli.check.finding import Finding, ok, warning

_TURBOJPEG = "libturbojpeg.so.0"
_VERSION = re.compile(rb"libjpeg-turbo version (\d+(?:\.\d+)+)")
_MAPS = Path("/proc/self/maps")


class Weakness(NamedTuple):
    """Mended in ``mended_in``; in no version before ``since``. ``what``: its CVE, or a description without one."""

    mended_in: tuple[int, ...]
    what: str
    since: tuple[int, ...] = ()


# Sources, as of November 2026: https://github.com/libexpat/libexpat/blob/master/expat/Changes and
# https://github.com/libjpeg-turbo/libjpeg-turbo/blob/main/ChangeLog.md. Holes in unused calls are left out.
WEAKNESSES: dict[str, tuple[Weakness, ...]] = {
    "expat": (
        Weakness((2, 6, 0), "CVE-2023-52425"),
        Weakness((2, 6, 3), "CVE-2024-45492"),
        Weakness((2, 6, 4), "CVE-2024-50602"),
        Weakness((2, 7, 0), "CVE-2024-8176"),
        Weakness((2, 7, 2), "CVE-2025-59375"),
        Weakness((2, 7, 4), "CVE-2026-25210"),
        Weakness((2, 8, 1), "CVE-2026-45186"),
        Weakness((2, 8, 4), "CVE-2026-66046"),
    ),
    "libturbojpeg": (
        Weakness((2, 0, 2), "CVE-2018-19664"),
        Weakness((2, 0, 4), "CVE-2020-17541"),
        Weakness((2, 0, 5), "CVE-2020-13790"),
        Weakness((3, 1, 4), "lossless JPEG written beyond its buffer", since=(3, 0, 0)),
    ),
}


def look() -> Iterator[Finding]:
    yield _expat()
    yield _fast_jpeg()


def known(library: str, version: tuple[int, ...]) -> list[str]:
    """The holes of this version, each with the version that mends it."""
    return [
        f"{weakness.what} (mended in {'.'.join(map(str, weakness.mended_in))})"
        for weakness in WEAKNESSES[library]
        if weakness.since <= version < weakness.mended_in
    ]


def _expat() -> Finding:
    version = ".".join(map(str, expat.version_info))
    place = _mapped("libexpat.so")
    owner = f"the system's {place}" if place else f"Python {platform.python_version()}'s own"
    mend = "update that package" if place else "use a newer release of Python"
    return _judged("expat", version, owner, mend)


def _fast_jpeg() -> Finding:
    if find_spec("cykooz_resizer") is None:
        return ok("fast JPEG", f"not on this kind of machine ({platform.machine()}): libvips does all the work")
    try:
        ctypes.CDLL(_TURBOJPEG)
    except OSError:
        hint = "on Debian: apt-get install libturbojpeg0"
        return warning("fast JPEG", "libturbojpeg is not there, JPEGs cost a quarter more", hint)
    place = _mapped(_TURBOJPEG.partition(".")[0])
    found = _VERSION.search(Path(place).read_bytes()) if place else None
    if found is None:
        return ok("fast JPEG", "cykooz-resizer and a libturbojpeg that does not tell its version are there")
    return _judged("libturbojpeg", found[1].decode(), f"the system's {place}", "update that package", "fast JPEG")


def _judged(library: str, version: str, owner: str, mend: str, about: str = "") -> Finding:
    detail = f"{library} {version}, {owner}"
    weak = known(library, tuple(int(part) for part in version.split(".")))
    if not weak:
        return ok(about or library, detail)
    hint = f"{mend}; a distribution may have mended it under the same number: its security tracker tells"
    return warning(about or library, f"{detail}: {', '.join(weak)}", hint)


def _mapped(name: str) -> str:
    """The path of a library that this process has loaded; empty where there is none."""
    paths = (line.split(maxsplit=5)[-1].strip() for line in _MAPS.read_text().splitlines() if "/" in line)
    return next((path for path in paths if Path(path).name.startswith(name)), "")
