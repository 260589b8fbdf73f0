"""Finds out whether the loaded libvips is the wheel's. Called by ``__main__.py`` before the sandbox closes.

pyvips loads any libvips that it finds: an extension that was built against the system's replaces the wheel's, and if
the extension cannot be loaded, pyvips falls back to the system's library. Neither has the tested loaders.
"""

from pathlib import Path

import pyvips

from imgserve.imaging.worker.repair import WHEEL, repair_command

_MAPS = Path("/proc/self/maps")


class LibraryRefused(Exception):
    """A libvips that is not the wheel's, and ``allow_system_libvips`` is not set."""


def describe(*, is_system_allowed: bool) -> str:
    """Empty for the wheel's own libvips, else version and path of the system's. Raises LibraryRefused."""
    files = foreign_files(_MAPS.read_text(), Path(pyvips.__file__).parents[1] / "pyvips_binary.libs")
    if not files:
        return ""
    foreign = f"{version()} ({', '.join(files)})"
    if is_system_allowed:
        return foreign
    raise LibraryRefused(
        f"libvips {foreign} was loaded, which is not the tested one of the package {WHEEL}: install the tested one "
        f"with {repair_command()}, or set allow_system_libvips = true"
    )


def version() -> str:
    return ".".join(str(pyvips.version(part)) for part in range(3))


def foreign_files(maps: str, wheel: Path) -> list[str]:
    """The files of libvips in this text of ``/proc/self/maps`` that are not in the wheel's directory."""
    paths = {line.split(maxsplit=5)[5] for line in maps.splitlines() if len(line.split(maxsplit=5)) == 6}
    libraries = {Path(path) for path in paths if Path(path).name.startswith("libvips")}
    return sorted(str(path) for path in libraries if path.parent != wheel.resolve())
