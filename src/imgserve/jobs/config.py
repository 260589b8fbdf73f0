"""The queue's settings. Read by ``settings``, used by every engine and the runner."""

import msgspec


class Config(msgspec.Struct, frozen=True):
    """``quiet_s``: how long a killed server's bytes may still arrive, so how long its destinations are left alone.

    ``share``: the part of ``max_waiting`` that one of several callers may fill.
    """

    max_waiting: int = 10_000
    share: float = 0.5
    lease_s: float = 60.0
    heartbeat_s: float = 15.0
    quiet_s: float = 15.0
    debt_s: float = 72 * 3600.0
    keep_ended_s: float = 24 * 3600.0
    keep_failed_s: float = 14 * 24 * 3600.0
    min_free_disk_bytes: int = 64_000_000

    @property
    def max_per_caller(self) -> int:
        return max(int(self.max_waiting * self.share), 1)

    def problems(self) -> tuple[str, ...]:
        """One sentence for each value that cannot work; it begins with the field's name and a colon."""
        if self.heartbeat_s * 2 <= self.lease_s:
            return ()
        return (f"heartbeat_s: expected at most half of lease_s ({self.lease_s:g}), got {self.heartbeat_s:g}",)
