"""The address policy: a table of every range that matters, and properties of the embeddings."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.transfer.guard import Guard, is_global, literal_address, parse_network

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::8.8.8.8.invalid",
    "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::10.0.0.1",
    "2001:0:7f00:1::", "2001:0:808:808:0:0:80ff:fffe", "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:192.168.0.1",
    "fe80::5efe:8.8.8.8", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1",
    "3fff::1", "5f00::1", "100::1", "2001:10::1", "::ffff:168.63.129.16", "4000::1",
    "64:ff9b:1:7f00:0:100:808:808", "not an address",
]  # fmt: skip
ADMITTED = [
    "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "168.63.129.17", "223.255.255.1",
    "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::8.8.8.8",
    "2606:4700::5efe:8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert Guard().refusal(address, 80) is not None


@pytest.mark.parametrize("address", ADMITTED)
def test_public_addresses_are_admitted(address: str) -> None:
    assert Guard().refusal(address, 443) is None


@pytest.mark.parametrize("port", [80, 443, 21, 22, 990, 1024, 8080, 65535])
def test_open_ports(port: int) -> None:
    assert Guard().refusal("8.8.8.8", port) is None


@pytest.mark.parametrize("port", [0, 1, 20, 23, 25, 53, 110, 445, 1023])
def test_closed_ports_stay_closed_even_in_an_allowed_network(port: int) -> None:
    guard = Guard((parse_network("8.8.8.0/24"),))
    assert guard.refusal("8.8.8.8", port) is not None


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_as_the_plain_one(inner: IPv4Address) -> None:
    number = int(inner)
    verdict = is_global(inner)
    assert is_global(IPv6Address((0xFFFF << 32) | number)) == verdict
    assert is_global(IPv6Address((0x2002 << 112) | (number << 80) | 1)) == verdict
    assert is_global(IPv6Address((0x64FF9B << 96) | number)) == verdict
    isatap = (0x2606_4700 << 96) | (0x5EFE << 32) | number
    assert is_global(IPv6Address(isatap)) == verdict


@given(st.ip_addresses())
def test_what_python_calls_private_is_never_global(address: IPv4Address | IPv6Address) -> None:
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        assert not is_global(address)


@given(st.ip_addresses())
def test_an_allowed_network_opens_its_addresses_only(address: IPv4Address | IPv6Address) -> None:
    guard = Guard((parse_network(str(address)),))
    assert guard.address_refusal(address) is None
    assert guard.address_refusal(ip_address("127.99.98.97")) is not None or str(address) == "127.99.98.97"


def test_allowing_the_inner_network_opens_the_mapped_form() -> None:
    guard = Guard((parse_network("127.0.0.0/8"),))
    assert guard.refusal("::ffff:127.0.0.1", 8080) is None
    assert guard.refusal("::ffff:10.0.0.1", 8080) is not None


@pytest.mark.parametrize(
    ("host", "expected"),
    [("[::1]", "::1"), ("127.0.0.1", "127.0.0.1"), ("[fe80::1%25eth0]", "fe80::1"), ("example.com", None), ("", None)],
)
def test_literal_hosts(host: str, expected: str | None) -> None:
    found = literal_address(host)
    assert (str(found) if found else None) == expected


def test_the_refusal_names_what_opens_it() -> None:
    refusal = Guard().refusal("10.1.2.3", 80)
    assert refusal is not None
    assert "10.1.2.3" in refusal.detail
    assert "--allow-network" in refusal.hint
