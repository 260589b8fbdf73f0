"""Protected mode: without keys only programs on this machine are served. Used by ``auth``.

A web page or a proxy is no such program, even on a local address, so requests with the headers of browsers and proxies
are refused. A proxy that adds no header looks like a program; a sign of one is reported as a state.
"""

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from imgserve.errors import ImgserveError
from imgserve.telemetry.states import State

KEY_HINT = "start the server with --api-key-file and send Authorization: Bearer KEY"

_HOST = re.compile(r"(?:\[([^\]]*)\]|([^\[\]:]*))(?::\d*)?", re.ASCII)
# Headers that proxies, load balancers and CDNs add, and programs of this machine do not.
_FORWARDING = re.compile(
    "|".join(
        (
            r"forwarded|x-forwarded|via|http-via|early-data|x-imforwards|x-coming-?from",
            r"([xz]-)?(http-)?forward(ed|er)?-(for|by)|x-forward|x-forwarded-.+",
            r"x-original-.+|x-originating-.+|x-real-.+|x-cluster-.+|x-proxy(user)?-.+|x-lb-.+|x-ha-.+|x-backend-.+",
            r"x-(client|remote|end-client|edge|forward)-(ip|addr|for|host|user)",
            r"x-(host|scheme|url-scheme|https|rewrite-url|replaced-path|nginx-proxy|via|request-start|queue-start)",
            r"(true-client|client|http-client|z-client|ns-client|proxy-client|remote|ali-cdn-real|do-connecting)-ip",
            r"remote-addr|http-x-forwarded-for|front-end-https|surrogate-capability|x-accel-.+",
            r"ssl-client-.+|x-(ssl|tls)-.+|x-client-(cert|verify|dn|scheme|port)",
            # Reverse proxies, gateways, meshes and tunnels.
            r"x-(envoy|istio|haproxy|traefik|kong|tyk|apigateway|gateway|citrix|netscaler|f5|bluecoat|zscaler)(-.+)?",
            r"x-consumer-(id|username|custom-id)|x-credential-identifier|x-varnish(-.+)?|(x-)?wl-proxy-.+|l5d-.+|x-linkerd-.+",
            r"(x-)?ngrok-.+|tailscale-.+",
            # Clouds and content delivery networks.
            r"(cf|cdn|fastly|fly|akamai|incap|ali-cdn|eo|tencent|cloudfront|heroku)-.+",
            r"x-(cf|cdn|arr|appengine|azure|akamai|amz-cf|amzn|vercel|sucuri|zeit|railway|nf|render|heroku|bunny|gcore)-.+",
            r"x-(vcap|waws|appservice|replit|imperva|nws|ms-(edge|forwarded)|fd)-.+|x-iinfo|x-cdn|eagleid|rndr-id|disguised-host",
            r"was-default-hostname|x-cloud-trace-context",
            # Proxies that ask for a login.
            r"x-(auth-request|authentik|pomerium|goog-iap|goog-authenticated|ms-client-principal|webauth)(-.+)?",
            r"remote-(user|email|groups|name)",
        )
    )
)


class NotAuthorised(ImgserveError):
    code = "not_authorised"
    status = 401
    title = "A valid API key is required"


class Protected:
    """Checks the requests of one server. Pages of ``origins`` may ask as if they were programs."""

    def __init__(self, origins: frozenset[str] = frozenset()) -> None:
        self._origins = origins
        self._proxy_hint = ""

    def check(self, scope: dict[str, Any], headers: dict[str, str]) -> None:
        """Raises NotAuthorised."""
        check_local(scope["client"][0] if scope.get("client") else "", headers, self._origins)
        # nginx's proxy_pass, with nothing else set, asks so; PHP before 8 and a few other old clients do too.
        if scope["http_version"] == "1.0" and headers.get("connection", "").lower() == "close":
            self._proxy_hint = headers.get("user-agent", "")[:100] or "a client without a name"

    def states(self) -> Iterator[State]:
        if self._proxy_hint:
            client = "".join(letter if letter.isprintable() else "?" for letter in self._proxy_hint)
            yield State("possible_proxy", f"requests come by HTTP/1.0 with Connection: close, the last from {client}")


def check_local(address: str, headers: dict[str, str], origins: frozenset[str] = frozenset()) -> None:
    """Only loopback clients that are no proxy, and no page but those of ``origins``. Raises NotAuthorised."""
    if not is_loopback(address):
        raise NotAuthorised("without an API key only programs on this machine are served", KEY_HINT)
    for name in headers:
        if is_forwarding(name):
            raise NotAuthorised(f"the request came through a proxy (it has a {name} header)", KEY_HINT)
    host = headers.get("host", "")
    if not _is_local_host(host):
        raise NotAuthorised("the Host header names no loopback host", KEY_HINT)
    origin = headers.get("origin")
    if origin in origins:
        return
    if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
        raise NotAuthorised("the request came from another site's page", KEY_HINT)
    if headers.get("sec-fetch-site", "none").lower() not in ("none", "same-origin"):
        raise NotAuthorised("the request came from another site's page", KEY_HINT)


@lru_cache(maxsize=256)  # the same few names come again and again
def is_forwarding(name: str) -> bool:
    """Whether a proxy adds such a header, whose name is in lower case."""
    return _FORWARDING.fullmatch(name.replace("_", "-")) is not None


def _is_local_host(host: str) -> bool:
    match = _HOST.fullmatch(host)
    name = (match[1] or match[2] or "").lower() if match else ""
    return name == "localhost" or is_loopback(name)


@lru_cache(maxsize=64)  # the same few clients come again and again
def is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return parsed.is_loopback or (mapped is not None and mapped.is_loopback)
