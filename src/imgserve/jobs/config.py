"""The queue's settings. Read by ``settings``, used by every engine and the runner."""

from typing import Annotated

import msgspec

from imgserve.setting import Amount, Count, Fraction, Pause, Problem, Seconds, Setting


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
