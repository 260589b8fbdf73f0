"""Limits of open connections, in all and from one address. ``acceptor`` takes a slot before anything is read.

A connection that sends nothing costs its sender nothing and the server a descriptor. Connections from this machine are
not counted by address, since a proxy in front would be one.
"""

import contextlib
import time
from collections.abc import Callable

from imgserve.api.http.network import network_of
from imgserve.limiter import Key, Limiter
from imgserve.telemetry import logs, metrics

LOG_EVERY_S = 60.0
Slot = contextlib.ExitStack  # ``close`` gives it back, once


class Slots:
    def __init__(self, limit: int, per_address: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limiter = Limiter(limit)
        self._per_address = per_address
        self._clock = clock
        self._refused = 0
        self._logged_at = -LOG_EVERY_S

    def take(self, address: str) -> Slot | None:
        """None: there is none for this address; then the log has a line, at most one a minute."""
        network = network_of(address)
        keys = (Key(network, self._per_address),) if network else ()
        if not self._limiter.take(*keys):
            self._refuse(address)
            return None
        slot = Slot()
        slot.callback(self._limiter.release, *keys)
        return slot

    def _refuse(self, address: str) -> None:
        is_full = self._limiter.held >= self._limiter.total
        reason, limit = ("all", self._limiter.total) if is_full else ("address", self._per_address)
        metrics.CONNECTIONS_REFUSED.labels(reason).inc()
        self._refused += 1
        now = self._clock()
        if now - self._logged_at >= LOG_EVERY_S:
            fields: dict[str, str | int] = {"reason": reason, "limit": limit, "connections": self._refused}
            logs.event("connections_refused", level=logs.WARNING, **fields, client=address)
            self._logged_at, self._refused = now, 0
