"""Which libvips the worker has loaded, and whether it is the wheel's. Called by ``__main__.py`` before the lock.

pyvips takes any libvips that it finds: an extension that was built against the system's replaces the wheel's, and where
the extension cannot be loaded it falls back to the system's library. Either has other loaders than the ones tested.
"""

import shlex
import sys
from pathlib import Path

import pyvips

_MAPS = Path("/proc/self/maps")
_BINDING, _WHEEL = "pyvips", "pyvips-binary"


class LibraryRefused(Exception):
    """A libvips that is not the wheel's, and ``allow_system_libvips`` is not set."""


def describe(*, is_system_allowed: bool) -> str:
    """Empty for the wheel's own libvips, else version and path of the system's. Raises LibraryRefused."""
    files = foreign_files(_MAPS.read_text(), Path(pyvips.__file__).parents[1] / "pyvips_binary.libs")
    if not files:
        return ""
    found = f"{version()} ({', '.join(files)})"
    if is_system_allowed:
        return found
    raise LibraryRefused(
        f"libvips {found} was loaded, which is not the tested one of the package {_WHEEL}: install the tested one with "
        f"{repair_command()}, or set allow_system_libvips = true"
    )


def version() -> str:
    return ".".join(str(pyvips.version(part)) for part in range(3))


def foreign_files(maps: str, wheel: Path) -> list[str]:
    """The files of libvips in this text of ``/proc/self/maps`` that lie outside the wheel's directory."""
    paths = {line.split(maxsplit=5)[5] for line in maps.splitlines() if len(line.split(maxsplit=5)) == 6}
    libraries = {Path(path) for path in paths if Path(path).name.startswith("libvips")}
    return sorted(str(path) for path in libraries if path.parent != wheel.resolve())


def repair_command() -> str:
    """Reinstalls both packages where no libvips of the system can be seen, and without pip's cached build.

    Both claim the extension's file, so an upgrade in place might remove the new one with the old package.
    """
    pinned = " ".join(f"{name}{_pin(name)}" for name in (_BINDING, _WHEEL))
    pip = f"{shlex.quote(sys.executable)} -m pip"
    install = f"PKG_CONFIG_LIBDIR= PKG_CONFIG_PATH= {pip} install --no-cache-dir --no-deps {pinned}"
    return f"{pip} uninstall --yes {_BINDING} {_WHEEL} && {install}"


def _pin(name: str) -> str:
    from importlib import metadata  # here, for it costs 10 ms and only a refusal needs it

    try:
        return f"=={metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return ""
