"""``imgserve check``: all findings in one order, as lines or as JSON. Called by ``main``.

In: the settings, or the sentence that says why there are none. Out: stdout, and an exit status for monitoring. Nothing
is changed and no lock is taken, so it may run beside the server and before the first start.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from typing import get_args

import msgspec

from imgserve.cli import output
from imgserve.cli.check import certificates, exposure, files, installation, machine, mounted, storage, uploads, workers
from imgserve.cli.check.finding import Finding, State, fault, ok, warning
from imgserve.errors import counted
from imgserve.imaging.config import Config as PoolConfig
from imgserve.settings.tree import Settings

STATES: tuple[State, ...] = get_args(State)  # from good to bad
# The exit statuses that monitoring plugins expect.
EXIT_STATUS: dict[State, int] = {"ok": 0, "warning": 1, "fault": 2, "unknown": 3}


class Report(msgspec.Struct, frozen=True):
    """The output of ``--json``."""

    version: str
    state: State
    findings: tuple[Finding, ...]


def check(settings: Settings | None, trouble: str, *, is_json: bool) -> int:
    """Print all findings. 0: all is well, 1: warnings, 2: faults, 3: this user may not see everything."""
    findings = tuple(_all(settings, trouble))
    worst = max((finding.state for finding in findings), key=STATES.index)
    report = Report(version("imgserve"), worst, findings)
    output.show(report, "\n".join(_lines(report)), is_json=is_json)
    return EXIT_STATUS[worst]


def _all(settings: Settings | None, trouble: str) -> Iterator[Finding]:
    yield from installation.look()
    yield from of_settings(settings, trouble)
    pool = settings.pool if settings else PoolConfig()
    yield from asyncio.run(workers.look(pool))
    if settings is not None:
        yield from storage.look(settings)
        if settings.queue_address.is_postgres:
            from imgserve.cli.check import database  # it loads psycopg, which no other queue needs

            yield from database.look(settings)
        yield from uploads.look(settings)
        yield from files.look(settings)
        yield from exposure.look(settings)
        yield from mounted.look(settings)
        yield from machine.limits(settings)
        yield from certificates.own(settings.api)


def of_settings(settings: Settings | None, trouble: str) -> Iterator[Finding]:
    if settings is None:
        yield fault("settings", trouble, "change them; what depends on settings was not looked at")
        return
    yield ok("settings", "every setting can be used")
    for old, new in settings.renamed:
        yield warning("settings", f"{old} is called {new} now", f"write {new}: {old} is taken until 1.0")


def _lines(report: Report) -> Iterator[str]:
    for finding in report.findings:
        hint = f" ({finding.hint})" if finding.hint else ""
        line = f"{finding.state:<8} {finding.about:<14} {finding.detail}{hint}"
        yield "".join(letter if letter.isprintable() else "?" for letter in line)  # a path may hold anything
    counts = Counter(finding.state for finding in report.findings)
    unknown = f", {counts['unknown']} unknown" if counts["unknown"] else ""
    problems = f"{counted(counts['warning'], 'warning')}, {counted(counts['fault'], 'fault')}{unknown}"
    yield f"imgserve {report.version}: {counts['ok']} ok, {problems}"
