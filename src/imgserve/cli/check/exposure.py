"""Settings that open the server further than most would want. Called by ``report``; files are checked by ``files``."""

import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from imgserve.api.control_socket import SOCKET_NAME
from imgserve.cli.check.finding import Finding, fault, ok, warning
from imgserve.errors import user_name
from imgserve.settings.tree import Settings
from imgserve.transfer.guard import Network, literal_address, parse_network

METADATA = tuple(ip_address(text) for text in ("169.254.169.254", "168.63.129.16", "fd00:ec2::254"))
WIDEST_PREFIX = {4: 16, 6: 48}


def look(settings: Settings) -> Iterator[Finding]:
    yield _listening(settings)
    yield from _networks(settings)
    yield from _proxy(settings)
    yield _identity(settings)


def _listening(settings: Settings) -> Finding:
    host, api = settings.api.host, settings.api
    address = literal_address(host)
    is_local = host == "localhost" or (address is not None and address.is_loopback)
    where = f"{host}:{api.port}"
    if is_local:
        return ok("host", f"{where} is reached from this machine only")
    if api.tls_cert:
        return ok("host", f"{where}, by TLS, " + ("with keys" if api.key_file else "programs on this machine only"))
    if not api.key_file:
        return ok("host", f"{where}, protected mode: only programs on this machine are served")
    detail = f"API keys and jobs with passwords travel to {where} unencrypted"
    return warning("host", detail, "--tls-cert and --tls-key, or listen on 127.0.0.1 and put TLS in front")


def _networks(settings: Settings) -> Iterator[Finding]:
    found = [
        finding
        for text in settings.transfer.allow_networks
        if (finding := _network(parse_network(text), has_keys=bool(settings.api.key_file)))
    ]
    yield from found
    if not found:
        opened = ", ".join(settings.transfer.allow_networks)
        yield ok("allow_network", f"{opened} and all public addresses" if opened else "public addresses only")


def _network(network: Network, *, has_keys: bool) -> Finding | None:
    if network.prefixlen == 0:
        return fault("allow_network", f"{network} lets jobs reach every address there is", "name the hosts jobs need")
    if any(address in network for address in METADATA if address.version == network.version):
        detail = f"{network} holds a cloud's metadata address, which hands out credentials"
        return fault("allow_network", detail, "name the hosts that jobs need")
    if network.is_loopback:
        if not has_keys:
            return None  # only programs on this machine may post jobs, and they reach it anyway
        detail = f"{network} lets whoever holds a key reach what listens on this machine"
        return warning("allow_network", detail, "name the hosts that jobs need")
    if network.prefixlen < WIDEST_PREFIX[network.version]:
        return warning("allow_network", f"{network} is a wide door", "name the hosts that jobs need")
    return None


def _proxy(settings: Settings) -> Iterator[Finding]:
    if settings.transfer.proxy:
        yield ok("proxy", "it resolves names, and so has to refuse private addresses and a cloud's metadata address")


def _identity(settings: Settings) -> Finding:
    served_by = _user_of_the_server(settings.data_dir)
    if served_by:
        return ok("user", f"the running server is {user_name(served_by)}")
    if os.geteuid() == 0 and not settings.user:
        return warning("user", "started by root, the server stays root", "--user NAME, a user of its own")
    return ok("user", f"the server runs as {settings.user or user_name(os.geteuid())}")


def _user_of_the_server(data_dir: Path) -> int:
    """The owner of the control socket; 0 for root, and where no socket can be seen."""
    try:
        return (data_dir / SOCKET_NAME).stat().st_uid
    except OSError:
        return 0
