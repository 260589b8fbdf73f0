"""Libraries that read pictures and come neither with imgserve nor in its pinned wheels. Called by ``installation``.

expat is the interpreter's or its distribution's, libturbojpeg the system's. A distribution closes holes without a new
version number, so only the interpreter's own expat can be judged by its version.
"""

import ctypes
import ctypes.util
import platform
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from xml.parsers import expat

from imgserve.cli.check.finding import Finding, ok, warning
from imgserve.imaging.abilities import HEIC_PACKAGE, heic_module

_TURBOJPEG = "libturbojpeg.so.0"
_VERSION = re.compile(rb"libjpeg-turbo version (\d+(?:\.\d+)+)")
_MAPS = Path("/proc/self/maps")
# Hole -> the version that closes it. As of November 2026, from
# https://github.com/libexpat/libexpat/blob/master/expat/Changes; holes in unused calls are left out.
EXPAT_HOLES = {
    "CVE-2023-52425": (2, 6, 0), "CVE-2024-45492": (2, 6, 3), "CVE-2024-50602": (2, 6, 4), "CVE-2024-8176": (2, 7, 0),
    "CVE-2025-59375": (2, 7, 2), "CVE-2026-25210": (2, 7, 4), "CVE-2026-45186": (2, 8, 1), "CVE-2026-66046": (2, 8, 4),
}  # fmt: skip
# Older ones have holes that a picture can use. As of November 2026, from the advisories of both projects; those that
# libheif 1.23.5 closes are in boxes that it never gets here (docs/decisions.md).
LEAST_LIBHEIF, LEAST_LIBDE265 = (1, 23, 4), (1, 1, 3)
_NUMBERS = re.compile(r"\d+(?:\.\d+)+")


def look() -> Iterator[Finding]:
    yield expat_of(expat.version_info, _mapped("libexpat.so"))
    yield _fast_jpeg()
    yield _heic()


def expat_of(version: tuple[int, ...], place: str) -> Finding:
    """``place``: the system's library; empty for the one within the interpreter."""
    name = f"expat {'.'.join(map(str, version))}"
    if place:
        return ok("expat", f"{name}, the system's {place}")
    holes = [f"{hole} (closed in {'.'.join(map(str, ends))})" for hole, ends in EXPAT_HOLES.items() if version < ends]
    detail = f"{name}, Python {platform.python_version()}'s own"
    if holes:
        return warning("expat", f"{detail}: {', '.join(holes)}", "use a newer release of Python")
    return ok("expat", detail)


def _fast_jpeg() -> Finding:
    if find_spec("cykooz_resizer") is None:
        return ok("fast JPEG", f"not on this kind of machine ({platform.machine()}): libvips does all the work")
    try:
        ctypes.CDLL(_TURBOJPEG)
    except OSError:
        hint = "on Debian: apt-get install libturbojpeg0"
        return warning("fast JPEG", "libturbojpeg is not there, JPEGs cost a quarter more", hint)
    place = _mapped(_TURBOJPEG.partition(".")[0])
    match = _VERSION.search(Path(place).read_bytes()) if place else None
    version = match[1].decode() if match else "of an unknown version"
    return ok("fast JPEG", f"libturbojpeg {version}, the system's {place}")


def _heic() -> Finding:
    name = heic_module()
    if name is None:
        install = f"install the Python package {HEIC_PACKAGE}"
        return warning("HEIC", "there is no decoder for it: such pictures are refused", install)
    library = import_module(name).libheif_info()
    de265 = _NUMBERS.search(library["decoders"].get("libde265", ""))
    return heic_of(name, library["libheif"], de265[0] if de265 else "0")


def heic_of(module: str, libheif: str, libde265: str) -> Finding:
    detail = f"libheif {libheif} and libde265 {libde265} of the module {module}"
    versions = (libheif, LEAST_LIBHEIF), (libde265, LEAST_LIBDE265)
    if any(tuple(map(int, version.split("."))) < least for version, least in versions):
        hint = f"install a newer {HEIC_PACKAGE}, and uninstall pi-heif, which has ended"
        return warning("HEIC", f"{detail}, which have known holes", hint)
    return ok("HEIC", detail)


def _mapped(name: str) -> str:
    """The path of a library that this process has loaded; empty where there is none."""
    paths = (line.split(maxsplit=5)[-1].strip() for line in _MAPS.read_text().splitlines() if "/" in line)
    return next((path for path in paths if Path(path).name.startswith(name)), "")
