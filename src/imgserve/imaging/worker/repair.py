"""The command that reinstalls the tested libvips. Called when a worker refuses its libvips, or finds none."""

import shlex
import sys

BINDING, WHEEL = "pyvips", "pyvips-binary"


def repair_command() -> str:
    """Reinstalls both packages without a view of the system's libvips, and without pip's cached build.

    Both claim the extension's file, so an upgrade in place might remove the new one with the old package.
    """
    pinned = " ".join(f"{name}{_pin(name)}" for name in (BINDING, WHEEL))
    pip = f"{shlex.quote(sys.executable)} -m pip"
    install = f"PKG_CONFIG=false PKG_CONFIG_LIBDIR= PKG_CONFIG_PATH= {pip} install --no-cache-dir --no-deps {pinned}"
    return f"{pip} uninstall --yes {BINDING} {WHEEL} && {install}"


def _pin(name: str) -> str:
    from importlib import metadata  # it costs 10 ms, and only a refusal needs it

    try:
        return f"=={metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return ""
