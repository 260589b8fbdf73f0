"""What holds for all tests: in CI a skip has failed, since nobody would see what was not tried. The closing report has
the seconds per folder and, at full size, what was measured, whichever process ran the test.
"""

import contextlib
import gc
import os
import platform
import threading
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from pathlib import PurePath

import hypothesis
import pytest
from _pytest.terminal import TerminalReporter

from tests.support.daemon import WARNINGS
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.postgres_house import NewQueue, empty_queue
from tests.support.preloaded import Preloaded
from tests.support.sizes import IS_FULL, Figures

MOST_LINES = 30

hypothesis.settings.register_profile("steady", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("steady")
gc.disable()  # until the tests are collected: of a collection's CPU time a third went into looking for garbage


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """The tests and what they import stay."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {report.longrepr}"
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked ``full_size`` belongs to ``make chaos`` and ``make conformance`` alone."""
    left = [] if IS_FULL else [item for item in items if item.get_closest_marker("full_size")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session", autouse=True)
def preloaded() -> Iterator[None]:
    """Servers are forked, but at full size, where each is started as a user starts it."""
    if IS_FULL:
        yield
        return
    with Preloaded(WARNINGS):
        yield


@pytest.fixture
def figures(record_property: Figures) -> Figures:
    """``figures(name, value)`` is kept with the output of ``make chaos``."""
    return record_property


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the tests that share it, each with a database of its own. It would not survive a power cut."""
    with Postgres({"fsync": "off"}) as server:
        yield server


@pytest.fixture(scope="session")
def pooler(postgres: Postgres) -> Iterator[PgBouncer]:
    """In front of that server."""
    with PgBouncer(postgres) as opened:
        yield opened


@pytest.fixture(scope="module")
def new_database(postgres: Postgres) -> Iterator[NewQueue]:
    """May be called in any thread."""
    turn = threading.Lock()
    with contextlib.ExitStack() as queues:

        def make() -> str:
            with turn:
                return queues.enter_context(empty_queue(postgres))

        yield make


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.full_size)])
def new_queue(request: pytest.FixtureRequest) -> NewQueue:
    """The engines over which attacks run: jobs in a file, and in a database that outlives the server."""
    make: NewQueue = str if request.param == "sqlite" else request.getfixturevalue("new_database")
    return make


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    reports = [
        report for some in terminalreporter.stats.values() for report in some if isinstance(report, pytest.TestReport)
    ]
    terminalreporter.write_line(seconds_by_folder(reports))
    if IS_FULL:
        _write_figures(terminalreporter)


def seconds_by_folder(reports: Iterable[pytest.TestReport]) -> str:
    """Of the folders beneath tests/. With several processes the sum is more than what the clock shows."""
    seconds: Counter[str] = Counter()
    for report in reports:
        seconds[PurePath(report.location[0]).parts[1]] += report.duration  # type: ignore[assignment]
    told = ", ".join(f"{folder} {spent:.0f}" for folder, spent in seconds.most_common())
    return f"seconds per folder: {told or 'none'}"


def _write_figures(terminalreporter: TerminalReporter) -> None:
    """A line for each test that passed; of those with many cases, only for the ones that measured something."""
    terminalreporter.section("figures")
    release = ".".join(platform.release().split(".")[:2])
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Linux {release}"
    terminalreporter.write_line(f"{machine}, Python {platform.python_version()}")
    reports = [report for report in terminalreporter.stats.get("passed", []) if report.when == "call"]
    for report in reports:
        if report.user_properties or len(reports) <= MOST_LINES:
            told = ", ".join(f"{name} {value}" for name, value in report.user_properties)
            file, _, name = report.nodeid.partition("::")  # the name may hold a path
            terminalreporter.write_line(f"{PurePath(file).name}::{name}  {report.duration:.0f} s  {told}")
