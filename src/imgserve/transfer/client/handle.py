"""How a libcurl handle is set up for one exchange, but for the callbacks, which ``exchange`` sets. Called by ``curl``.

In: a call, the operator's settings. A handle is reset after each exchange, so all of it is set each time.
"""

import re

import msgspec
import pycurl

from imgserve.request.protocols import SCHEMES
from imgserve.telemetry import tracing
from imgserve.transfer.client.call import FTP_METHODS, Call
from imgserve.transfer.client.location import Origin
from imgserve.transfer.client.proxy import Proxy, setopts
from imgserve.transfer.config import Config

_BUFFER_BYTES = 512 * 1024
MEMORY_WAIT_S = 600.0
_HTTP = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
_HOST = re.compile(r"(?:\*\.)?[A-Za-z0-9][A-Za-z0-9.-]*")
_FTP = pycurl.PROTO_FTP | pycurl.PROTO_FTPS


class Referer(msgspec.Struct, frozen=True):
    """The ``Referer`` header of requests to ``host`` (exact, or ``*.`` and a domain)."""

    host: str
    url: str

    def is_for(self, host: str) -> bool:
        return host == self.host or (self.host.startswith("*.") and host.endswith(self.host[1:]))


def parse_referer(text: str) -> Referer:
    """A setting's ``HOST=URL``. Raises ValueError."""
    host, equals, url = text.strip().partition("=")
    is_url = url.startswith(("http://", "https://")) and url.isascii() and url.isprintable() and " " not in url
    if not equals or not _HOST.fullmatch(host) or not is_url:
        raise ValueError(text)
    return Referer(host.lower(), url)


def configure(curl: pycurl.Curl, call: Call, url: str, timeout_s: float, config: Config, ca_path: str) -> None:
    setopt = curl.setopt
    setopt(pycurl.URL, url.encode())
    setopt(pycurl.PROTOCOLS, _FTP if call.method in FTP_METHODS else _HTTP)
    setopt(pycurl.NOSIGNAL, 1)
    setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    setopt(pycurl.CONNECTTIMEOUT_MS, max(1, int(min(config.connect_timeout_s, timeout_s) * 1000)))
    setopt(pycurl.CAINFO, ca_path)
    # libcurl's clock runs on while a fetch waits for memory; ``curl`` has one that does not.
    waiting_s = MEMORY_WAIT_S if call.fetch is not None else 0.0
    setopt(pycurl.TIMEOUT_MS, max(1, int((timeout_s + waiting_s) * 1000)))
    if call.fetch is not None:
        setopt(pycurl.BUFFERSIZE, _BUFFER_BYTES)
        setopt(pycurl.LOW_SPEED_LIMIT, config.low_speed_bytes_s)
        setopt(pycurl.LOW_SPEED_TIME, config.low_speed_time_s)
    if call.is_fresh:
        setopt(pycurl.FRESH_CONNECT, 1)
    if call.uses_digest:
        setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_DIGEST)


def route(curl: pycurl.Curl, call: Call, place: Origin, proxy: Proxy | None, ca_path: str) -> None:
    is_ftp = call.method in FTP_METHODS
    for option, value in setopts(proxy, ca_path, is_ftp=is_ftp):
        curl.setopt(option, value)
    if is_ftp and SCHEMES[place.scheme].has_tls:
        curl.setopt(pycurl.USE_SSL, pycurl.USESSL_ALL)  # for the data connection too, or not at all
        curl.setopt(pycurl.FTPSSLAUTH, pycurl.FTPAUTH_TLS)


def dressed(call: Call, host: str, referers: tuple[Referer, ...]) -> Call:
    """The HTTP call with the header that lets the peer go on with our trace, when we trace, and the operator's Referer.

    A page's own Referer, which belongs to the post of its form, goes before.
    """
    traceparent = tracing.traceparent()
    if not traceparent and not referers:
        return call
    more = []
    if traceparent:
        more.append(f"traceparent: {traceparent}")
    if not any(header.startswith("Referer:") for header in call.headers):
        more += [f"Referer: {one.url}" for one in referers if one.is_for(host)][:1]
    return msgspec.structs.replace(call, headers=(*call.headers, *more)) if more else call
