"""The network that a client counts as: limits are per network, since one host may own a whole /64. For ``slots`` and
``images``.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

from imgserve.api.protected import is_loopback

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
