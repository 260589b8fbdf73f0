"""How many connections there may be, in all and of one address. Asked by ``acceptor`` before anything is read.

A connection that sends nothing costs its sender nothing and the server a descriptor. Those of this machine are not
counted by address, for a proxy in front would be one.
"""

import ipaddress
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from imgserve.api.protected import is_loopback
from imgserve.telemetry import logs, metrics

TELL_EVERY_S = 60.0


class Seat:
    """One connection's. ``leave`` frees it, once."""

    def __init__(self, seats: "Seats", group: str) -> None:
        self._seats: Seats | None = seats
        self._group = group

    def leave(self) -> None:
        seats, self._seats = self._seats, None
        if seats is not None:
            seats._free(self._group)


class Seats:
    def __init__(self, limit: int, per_address: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._per_address = per_address
        self._clock = clock
        self._taken = 0
        self._of: Counter[str] = Counter()
        self._refused = 0
        self._told_at = -TELL_EVERY_S

    def take(self, address: str) -> Seat | None:
        """None: there is none for this address; then the log has a line, at most one a minute."""
        group = _group(address)
        if self._taken >= self._limit:
            self._refuse(address, "all", self._limit)
            return None
        if group and self._of[group] >= self._per_address:
            self._refuse(address, "address", self._per_address)
            return None
        self._taken += 1
        if group:
            self._of[group] += 1
        return Seat(self, group)

    def _free(self, group: str) -> None:
        self._taken -= 1
        if group:
            self._of[group] -= 1
            if not self._of[group]:
                del self._of[group]

    def _refuse(self, address: str, reason: str, limit: int) -> None:
        metrics.CONNECTIONS_REFUSED.labels(reason).inc()
        self._refused += 1
        now = self._clock()
        if now - self._told_at < TELL_EVERY_S:
            return
        fields: dict[str, str | int] = {"reason": reason, "limit": limit, "connections": self._refused}
        logs.event("connections_refused", level=logs.WARNING, **fields, client=address)
        self._told_at, self._refused = now, 0


@lru_cache(maxsize=4096)
def _group(address: str) -> str:
    """The key that its connections count under: none for this machine; for IPv6 the /64, which one host may own."""
    if is_loopback(address):
        return ""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
