"""What holds for all tests: in CI a skip has failed, since nobody would see what was not tried; at full size, what was
measured stands at the end of the output, whichever process ran the test.
"""

import os
import platform
from collections.abc import Generator

import pytest
from _pytest.terminal import TerminalReporter

from tests.sizes import IS_FULL, Figures

MOST_LINES = 30


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.fixture
def figures(record_property: Figures) -> Figures:
    """``figures(name, value)`` is kept with the output of ``make chaos``."""
    return record_property


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """A line for each test that passed; of those with many cases, only for the ones that measured something."""
    if not IS_FULL:
        return
    terminalreporter.section("figures")
    release = ".".join(platform.release().split(".")[:2])
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {release}"
    terminalreporter.write_line(f"{machine}, Python {platform.python_version()}")
    reports = [report for report in terminalreporter.stats.get("passed", []) if report.when == "call"]
    for report in reports:
        if report.user_properties or len(reports) <= MOST_LINES:
            told = ", ".join(f"{name} {value}" for name, value in report.user_properties)
            terminalreporter.write_line(f"{report.nodeid.split('/')[-1]}  {report.duration:.0f} s  {told}")
