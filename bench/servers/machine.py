"""The machine and the interpreter of a run, in one line of words. Called by ``__main__``."""

import os
import platform
import sys
import sysconfig
from pathlib import Path


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    system = f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    how = build_of(sysconfig.get_config_var("CONFIG_ARGS") or "", sys.base_prefix)
    return f"{os.cpu_count()} processors, {model}, {system} {how}"


def build_of(configured: str, prefix: str) -> str:
    """How an interpreter was built, which is a tenth of a server's CPU. ``configured``: its configure's arguments."""
    if "--enable-optimizations" in configured:
        return "built with optimizations"
    if prefix == "/usr":  # Debian and Ubuntu optimize by other means, which they keep out of sysconfig
        return "of the distribution"
    return "built without optimizations"
