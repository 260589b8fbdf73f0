"""The queue's settings. Read by ``settings``, used by every engine and the runner."""

from typing import Annotated, Literal

import msgspec

from imgserve.jobs import queue_url
from imgserve.setting import Amount, Count, Fraction, Pause, Problem, Seconds, Secret, Setting, Text

# The part of the work that a server process does. Several of them share a queue on PostgreSQL.
Role = Literal["all", "api", "runner"]
SQLITE = "sqlite"


class AddressConfig(msgspec.Struct, frozen=True):
    """The place of the queue. ``url`` and ``direct`` may hold passwords; ``shown`` does not.

    ``direct``: the database itself, given where ``url`` leads to a pooler that keeps no session, such as PgBouncer.
    """

    # fmt: off
    url: Annotated[Text, Setting(
        f"where the jobs are: `{SQLITE}`, a file of the data directory, or a database of PostgreSQL that several "
        f"servers share, `{queue_url.EXAMPLE}`", name="queue", metavar="URL", is_secret=True)] = SQLITE
    password: Annotated[Secret | None, Setting(
        "password of the user of `queue`", name="queue_password", default="none", is_secret=True)] = None
    direct: Annotated[Text, Setting(
        "the same database without a pooler; only where `queue` leads through one, such as PgBouncer",
        name="queue_direct", metavar="URL", is_secret=True)] = ""
    # fmt: on

    @property
    def is_postgres(self) -> bool:
        return self.url != SQLITE

    @property
    def shown(self) -> str:
        """The URL without passwords, for people."""
        return queue_url.shown(self.url)

    def problems(self) -> tuple[Problem, ...]:
        if not self.is_postgres:
            given = [name for name in ("password", "direct") if getattr(self, name)]
            return tuple(Problem(name, "expected only beside a queue on PostgreSQL") for name in given)
        from imgserve.jobs.postgres import libpq  # it loads psycopg, which no other queue needs

        urls = {"url": self.url, "direct": self.direct}
        faults = [(name, queue_url.fault_of(url) or libpq.fault_of(url)) for name, url in urls.items() if url]
        if self.password and any(map(queue_url.has_password, urls.values())):
            faults.append(("password", "expected only one password, and the URL has one"))
        return tuple(Problem(name, fault) for name, fault in faults if fault)

    def __repr__(self) -> str:
        return f"AddressConfig({self.shown})"


class Config(msgspec.Struct, frozen=True):
    """``quiet_s``: how long a killed server's bytes may still arrive, so how long its destinations are left alone.

    ``quota``: the part of ``max_waiting`` that one of several principals may fill.
    """

    # fmt: off
    max_waiting: Annotated[Count, Setting("jobs in the queue; then new ones get code 301")] = 10_000
    quota: Annotated[Fraction, Setting(
        "fraction of `max_waiting`, `max_intake` and `max_intake_waiting` for one of several keys",
        name="queue_quota")] = 0.5
    lease_s: Annotated[Seconds, Setting("time that a claim on a job lasts unless renewed", "seconds")] = 60.0
    heartbeat_s: Annotated[Seconds, Setting("interval at which claims are renewed", "seconds")] = 15.0
    quiet_s: Annotated[Pause, Setting(
        "pause before a killed server's unanswered jobs write to their destinations", "seconds")] = 15.0
    outbox_s: Annotated[Seconds, Setting(
        "time that a failure picture is retried", "seconds", name="outbox_deadline_s")] = 72 * 3600.0
    keep_ended_s: Annotated[Pause, Setting(
        "time that succeeded, cancelled and superseded jobs are listed", "seconds")] = 24 * 3600.0
    keep_failed_s: Annotated[Pause, Setting(
        "time that failed jobs are listed and can be retried", "seconds")] = 14 * 24 * 3600.0
    min_free_disk_bytes: Annotated[Amount, Setting(
        "with less free space in the data directory no job is accepted", "bytes")] = 64_000_000
    # fmt: on

    @property
    def max_per_principal(self) -> int:
        return max(int(self.max_waiting * self.quota), 1)

    def problems(self) -> tuple[Problem, ...]:
        if self.heartbeat_s * 2 <= self.lease_s:
            return ()
        sentence = f"expected at most half of lease_s ({self.lease_s:g}), got {self.heartbeat_s:g}"
        return (Problem("heartbeat_s", sentence),)
