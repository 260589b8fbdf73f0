"""The network that a client counts as: limits are per network, since one host may own a whole /64. For ``slots`` and
``images``.

A program on this machine has no limit of its own, and neither has a client of a proxy here that is not trusted. Its
header is not believed all the same: proxies pass on what clients send, so that each could take another's part.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from imgserve.api.protected import is_forwarding, is_loopback
from imgserve.telemetry.states import State

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Clients:
    """Tells the clients of GETs apart. ``trusted`` are proxies whose X-Forwarded-For counts."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = trusted
        self._sign = ""

    def is_proxy(self, address: str) -> bool:
        """Whether it is a trusted one."""
        return is_in(address, self._trusted)

    def network(self, address: str, headers: Mapping[bytes, str], http_version: str) -> str:
        """None (empty) for a program on this machine. ``headers`` have lower-case names."""
        forwarded = headers.get(b"x-forwarded-for", "")
        network = network_of(client_of(address, forwarded.split(",") if forwarded else (), self._trusted))
        if not network and not self._sign:
            self._sign = _sign_of_proxy(headers, http_version)
        return network

    def states(self) -> Iterator[State]:
        if self._sign:
            yield State("untrusted_proxy", f"clients of a proxy here are not told apart: requests have {self._sign}")


def _sign_of_proxy(headers: Mapping[bytes, str], http_version: str) -> str:
    for name in headers:
        text = name.decode("latin-1")
        if is_forwarding(text):
            return f"the header {text[:60]}"
    # nginx's proxy_pass, with nothing else set.
    is_plain = http_version == "1.0" and headers.get(b"connection", "").lower() == "close"
    return "HTTP/1.0 and Connection: close" if is_plain else ""


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """None (empty) for this machine; of IPv6 the /64."""
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


def client_of(address: str, forwarded: Iterable[str], trusted: Sequence[Network]) -> str:
    """The address of the client itself: the last of ``forwarded`` (X-Forwarded-For, in its order) that is not a trusted
    proxy's. The header of a sender that is not trusted says nothing.
    """
    for before in (address, *reversed([*forwarded])):
        address = before.strip()
        if not is_in(address, trusted):
            return address
    return address


@lru_cache(maxsize=4096)
def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def is_in(address: str, networks: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)
