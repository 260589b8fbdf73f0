"""Decides which addresses and ports a transfer may connect to.

Called by ``exchange`` for every socket, and again for every pooled connection, and by ``dispatch`` for the text of a
request.

The deny lists follow IANA's special-purpose registries (RFC 6890 and its updates); ``ipaddress.is_global`` is not
used, because it calls multicast, IPv6 forms that embed IPv4 and some newer ranges global. An address of this machine
never counts as public: services that trust the machine itself listen there.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

import msgspec

from imgserve.transfer.client.proxy import is_local_name, parse_proxy
from imgserve.transfer.config import DEFAULT_PORTS, Config
from imgserve.transfer.own_addresses import is_own

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

Ports = tuple[int, int]  # the first and the last

# 168.63.129.16 is Azure's host agent: public by its number, private by nature.
_DENIED_V4 = tuple(map(IPv4Network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
    "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)))  # fmt: skip
_LOOPBACK = IPv4Address("127.0.0.1")
_GLOBAL_V6 = IPv6Network("2000::/3")
# fec0::/10, 5f00::/16, ff00::/8, fc00::/7, fe80::/10 and 100::/64 lie outside 2000::/3 and need no line here. So does
# 64:ff9b:1::/48, a network's own NAT64 (RFC 8215): only that network knows where in it the IPv4 address is.
_DENIED_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20", "3ffe::/16")))
_COMPATIBLE = IPv6Network("::/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP_MARKS = frozenset({0x0000_5EFE, 0x0200_5EFE, 0x0100_5EFE, 0x0300_5EFE})


def parse_network(text: str) -> Network:
    """An --allow-network value: CIDR, or one address. Raises ValueError."""
    return ip_network(text.strip(), strict=False)


def parse_ports(text: str) -> Ports:
    """A port or a range: ``443``, ``1024-65535``. Raises ValueError."""
    first, dash, last = text.strip().partition("-")
    low, high = int(first), int(last if dash else first)
    if not 1 <= low <= high <= 65_535:
        raise ValueError(text)
    return low, high


def literal_address(host: str) -> Address | None:
    """The address that a URL's host spells out (brackets and zone allowed), or None for a name."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return None


def embedded_addresses(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address leads to or carries.

    RFC 4291 (mapped, compatible), 3056 (6to4), 6052 (NAT64), 4380 (Teredo: server and client), 5214 (ISATAP).
    """
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _COMPATIBLE or address in _NAT64 or _is_isatap(address):
        return (IPv4Address(int(address) & 0xFFFF_FFFF),)
    return ()


def is_global(address: Address) -> bool:
    """Whether the address, and every IPv4 address embedded in it, belongs to the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _DENIED_V4)
    embedded = embedded_addresses(address)
    if not all(map(is_global, embedded)):
        return False
    if embedded and not _is_isatap(address):
        return True
    return address in _GLOBAL_V6 and not any(address in network for network in _DENIED_V6)


def _is_isatap(address: IPv6Address) -> bool:
    return (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP_MARKS


class Refusal(msgspec.Struct, frozen=True):
    """``detail`` says what is refused, ``hint`` which setting opens it."""

    detail: str
    hint: str


class Guard(msgspec.Struct, frozen=True, eq=False):
    """The policy: all global addresses but this machine's own, and the ``allowed`` networks; on the named ports only.

    With a ``proxy_port`` a proxy connects for us: connections go to it alone, and a host is judged by the text of its
    URL.
    """

    allowed: tuple[Network, ...] = ()
    ports: tuple[Ports, ...] = tuple(parse_ports(text) for text in DEFAULT_PORTS)
    proxy_port: int = 0

    @classmethod
    def of(cls, config: Config) -> Self:
        """That of the settings. Raises ValueError where ``config.problems`` finds one."""
        networks, ports = map(parse_network, config.allow_networks), map(parse_ports, config.ports)
        return cls(tuple(networks), tuple(ports), parse_proxy(config.proxy).port if config.proxy else 0)

    def text_refusal(self, host: str, port: int) -> Refusal | None:
        """Why a URL's host and port are refused by their text alone; None when they may go on."""
        return _text_refusal(self, host, port) or self._own_refusal(host)

    def port_refusal(self, port: int) -> Refusal | None:
        if any(low <= port <= high for low, high in self.ports):
            return None
        ports = ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in self.ports)
        hint = f"use one of {ports}, or open it with the setting ports"
        return Refusal(f"Port {port} is not open to transfers", hint)

    def address_refusal(self, address: Address) -> Refusal | None:
        if self._is_allowed(address) or is_global(address):
            return None
        return Refusal(f"The address {address} is not a public one", f"--allow-network {address} opens it")

    def refusal(self, address: str, port: int) -> Refusal | None:
        """Why a connection to this resolved address is refused; None when it may go on."""
        if self.proxy_port:
            is_proxy = port == self.proxy_port
            return None if is_proxy else Refusal("Only the proxy is connected to", "leave --proxy out")
        return _refusal(self, address, port) or self._own_refusal(address)

    def _own_refusal(self, host: str) -> Refusal | None:
        # Not remembered, because a machine's addresses change.
        for address in _public_addresses(self, host):
            if is_own(address):
                return Refusal(f"The address {host} is this machine's own", f"--allow-network {host} opens it")
        return None

    def _is_allowed(self, address: Address) -> bool:
        if any(address in network for network in self.allowed):
            return True
        embedded = embedded_addresses(address) if isinstance(address, IPv6Address) else ()
        return bool(embedded) and all(map(self._is_allowed, embedded))


# Every transfer needs these several times, for the same few hosts.
@lru_cache(maxsize=4096)
def _text_refusal(guard: Guard, host: str, port: int) -> Refusal | None:
    address = literal_address(host)
    if address is None and guard.proxy_port and is_local_name(host):
        address = _LOOPBACK
    return guard.port_refusal(port) or (guard.address_refusal(address) if address else None)


@lru_cache(maxsize=4096)
def _public_addresses(guard: Guard, host: str) -> tuple[Address, ...]:
    """The addresses of a literal host, unless an operator has allowed it."""
    address = literal_address(host)
    if address is None or guard._is_allowed(address):
        return ()
    return (address, *embedded_addresses(address)) if isinstance(address, IPv6Address) else (address,)


@lru_cache(maxsize=4096)
def _refusal(guard: Guard, address: str, port: int) -> Refusal | None:
    parsed = literal_address(address)
    if parsed is None:
        return Refusal("The address of the host cannot be read", "use an http, https or ftp URL")
    return guard.address_refusal(parsed) or guard.port_refusal(port)
