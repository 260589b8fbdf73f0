"""Clients behind proxies: the network that each counts as, and the signs of a proxy that nobody trusts."""

import ipaddress

import pytest

from imgserve.api.http.network import Clients

HERE = Clients([ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1", "10.0.0.0/8")])
NOBODY = Clients()


@pytest.mark.parametrize(
    ("clients", "address", "forwarded", "network"),
    [
        (HERE, "127.0.0.1", "203.0.113.9", "203.0.113.9"), (HERE, "::1", "2001:db8::1", "2001:db8::/64"),
        (HERE, "127.0.0.1", "1.2.3.4, 203.0.113.9, 10.1.2.3", "203.0.113.9"), (HERE, "127.0.0.1", "", ""),
        (HERE, "::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"), (HERE, "127.0.0.1", "10.1.2.3", "10.1.2.3"),
        (HERE, "198.51.100.1", "203.0.113.9", "198.51.100.1"), (HERE, "127.0.0.1", "127.0.0.2", ""),
        (NOBODY, "127.0.0.1", "203.0.113.9", ""), (NOBODY, "10.0.0.1", "203.0.113.9", "10.0.0.1"),
    ],
)  # fmt: skip
def test_the_network_of_a_client(clients: Clients, address: str, forwarded: str, network: str) -> None:
    headers = {b"x-forwarded-for": forwarded} if forwarded else {}
    assert clients.network(address, headers, "1.1") == network


@pytest.mark.parametrize(
    ("address", "headers", "version", "sign"),
    [
        ("127.0.0.1", {b"x-forwarded-for": "203.0.113.9"}, "1.1", "the header x-forwarded-for"),
        ("::1", {b"accept": "*/*", b"via": "1.1 varnish"}, "1.1", "the header via"),
        ("127.0.0.1", {b"connection": "close"}, "1.0", "HTTP/1.0 and Connection: close"),
        ("127.0.0.1", {b"accept": "*/*", b"host": "a.test"}, "1.1", ""),
        ("127.0.0.1", {b"connection": "close"}, "1.1", ""),
        # Anybody may send these from elsewhere.
        ("203.0.113.9", {b"x-forwarded-for": "127.0.0.1"}, "1.1", ""),
    ],
)
def test_signs_of_a_proxy(address: str, headers: dict[bytes, str], version: str, sign: str) -> None:
    clients = Clients()
    clients.network(address, headers, version)
    assert [state.detail.partition("requests have ")[2] for state in clients.states()] == ([sign] if sign else [])


def test_a_trusted_proxy_is_no_trouble() -> None:
    clients = Clients([ipaddress.ip_network("127.0.0.1")])
    clients.network("127.0.0.1", {b"x-forwarded-for": "203.0.113.9"}, "1.1")
    assert list(clients.states()) == []
    clients.network("127.0.0.1", {b"x-real-ip": "203.0.113.9"}, "1.1")  # it does not say whose request it is
    assert [state.name for state in clients.states()] == ["untrusted_proxy"]
