"""Figures: what chaos tests measured, at the end of the run, whichever process ran the test."""

import os
import platform

import pytest
from _pytest.terminal import TerminalReporter

from tests.chaos.sizes import IS_FULL, Figures


@pytest.fixture
def figures(record_property: Figures) -> Figures:
    """``figures(name, value)`` is kept with the output of ``make chaos``."""
    return record_property


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    reports = [report for report in terminalreporter.stats.get("passed", []) if report.when == "call"]
    if not IS_FULL:
        return
    terminalreporter.section("figures")
    release = ".".join(platform.release().split(".")[:2])
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {release}"
    terminalreporter.write_line(f"{machine}, Python {platform.python_version()}")
    for report in reports:
        told = ", ".join(f"{name} {value}" for name, value in report.user_properties)
        terminalreporter.write_line(f"{report.nodeid.split('/')[-1]}  {report.duration:.0f} s  {told}")
