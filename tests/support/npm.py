"""Packages of npm, for the tests that ``make conformance`` alone runs."""

import subprocess
from pathlib import Path


def install(top: Path, package: str) -> Path:
    """A directory in which Node finds the package. Its scripts do not run."""
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(top), package]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return top
