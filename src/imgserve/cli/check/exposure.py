"""Settings that open the server further than most would want. Called by ``report``; files are checked by ``files``."""

import contextlib
import os
from collections.abc import Collection, Iterator
from ipaddress import ip_address

from imgserve.api.control_socket import SOCKET_NAME
from imgserve.api.keyfile import KeyFileInvalid
from imgserve.cli.check.finding import Finding, fault, ok, warning
from imgserve.errors import user_name
from imgserve.request import url
from imgserve.request.principal import OPERATOR_ID, id_of_mount
from imgserve.request.protocols import SCHEMES
from imgserve.request.urlprefix import UrlPrefix
from imgserve.settings.tree import Settings
from imgserve.transfer.guard import Guard, Network, literal_address, parse_network

METADATA = tuple(map(ip_address, ("169.254.169.254", "168.63.129.16", "fd00:ec2::254")))
# These types put the secret itself on the way; the others sign with it.
SENT = ("bearer", "basic", "header")
WIDEST_PREFIX = {4: 16, 6: 48}


def look(settings: Settings) -> Iterator[Finding]:
    yield _listening(settings)
    yield from _networks(settings)
    if settings.transfer.proxy:
        yield ok("proxy", "it resolves names, and so has to refuse private addresses and a cloud's metadata address")
    yield from _credentials(settings)
    yield from _webhooks(settings)
    yield _identity(settings)


def _listening(settings: Settings) -> Finding:
    api = settings.api
    where = f"{api.host}:{api.port}"
    if not api.key_file:
        return ok("host", f"{where}, protected mode: only programs on this machine are served")
    if api.tls_cert or is_this_machine(api.host):
        return ok("host", f"{where}, for clients with a key")
    detail = f"API keys and jobs with passwords travel to {where} unencrypted"
    return warning("host", detail, "--tls-cert and --tls-key, or listen on 127.0.0.1 and put TLS in front")


def _networks(settings: Settings) -> Iterator[Finding]:
    networks, has_keys = settings.transfer.allow_networks, bool(settings.api.key_file)
    findings = [finding for text in networks for finding in _network(parse_network(text), has_keys=has_keys)]
    public = f"{', '.join(networks)} and all public addresses" if networks else "public addresses only"
    yield from findings or [ok("allow_network", public)]


def _network(network: Network, *, has_keys: bool) -> Iterator[Finding]:
    hint = "name the hosts that jobs need"
    if network.prefixlen == 0:
        yield fault("allow_network", f"{network} lets jobs reach every address there is", hint)
    elif any(address in network for address in METADATA if address.version == network.version):
        detail = f"{network} holds a cloud's metadata address, which hands out credentials"
        yield fault("allow_network", detail, hint)
    elif network.is_loopback:
        if has_keys:  # without keys only programs on this machine may post jobs, and they reach it anyway
            detail = f"{network} lets everybody with a key reach what listens on this machine"
            yield warning("allow_network", detail, hint)
    elif network.prefixlen < WIDEST_PREFIX[network.version]:
        yield warning("allow_network", f"{network} lets jobs reach many hosts", hint)


def _credentials(settings: Settings) -> Iterator[Finding]:
    for name, credential in settings.credentials.items():
        about = f"credential.{name}"
        mounts = map(id_of_mount, settings.get.mounts)
        yield from _unknown_principals(about, credential.principals, settings, {OPERATOR_ID, *mounts})
        if credential.type in SENT and (open_urls := list(filter(_is_open, credential.urls))):
            yield warning(about, f"its secret travels to {open_urls[0]} unencrypted", "use https")


def _webhooks(settings: Settings) -> Iterator[Finding]:
    """A job's own webhook is judged when the job is posted."""
    guard = Guard.of(settings.transfer)
    for name, webhook in settings.webhooks.items():
        place = url.parse(webhook.url)
        yield from _unknown_principals(f"webhook.{name}", webhook.principals, settings)
        if refusal := guard.text_refusal(place.host, place.port):
            yield fault(f"webhook.{name}", f"no message can be sent: {refusal.detail}", refusal.hint)


def _unknown_principals(
    about: str, principals: tuple[str, ...], settings: Settings, others: Collection[str] = ()
) -> Iterator[Finding]:
    """``principals``: names of keys, or of none; ``others``: those that are no keys'."""
    with contextlib.suppress(KeyFileInvalid):  # this user may not read it
        keys = settings.api.keys()
        nobody = sorted(set(principals).difference({key.principal for key in keys}, others))
        mounts = [name for name in nobody if name.startswith(id_of_mount(""))]
        if mounts and others:
            yield warning(about, f"no dialect is mounted as {', '.join(mounts)}", "give its table [get.NAME] a path")
            nobody = [name for name in nobody if name not in mounts]
        if nobody:
            yield warning(about, f"no key has the name {', '.join(nobody)}", "name a key of the key file")


def _is_open(beginning: str) -> bool:
    """Whether requests go over a network without TLS."""
    prefix = UrlPrefix.parse(beginning)
    return not SCHEMES[prefix.scheme].has_tls and not is_this_machine(prefix.host)


def is_this_machine(host: str) -> bool:
    address = literal_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _identity(settings: Settings) -> Finding:
    with contextlib.suppress(OSError):
        if server := (settings.data_dir / SOCKET_NAME).stat().st_uid:
            return ok("user", f"the running server is {user_name(server)}")
    if os.geteuid() == 0 and not settings.user:
        return warning("user", "started by root, the server stays root", "--user NAME, a user of its own")
    return ok("user", f"the server runs as {settings.user or user_name(os.geteuid())}")
