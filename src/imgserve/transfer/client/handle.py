"""Sets a libcurl handle up for one exchange, but for the callbacks, which ``exchange`` sets. Called by ``curl``.

A handle is reset after each exchange, so every option is set each time.
"""

import re

import msgspec
import pycurl

from imgserve.request.protocols import SCHEMES
from imgserve.telemetry import tracing
from imgserve.transfer.client import location
from imgserve.transfer.client.along import merged
from imgserve.transfer.client.authorities import Authorities
from imgserve.transfer.client.call import FTP_METHODS, Call
from imgserve.transfer.client.proxy import Proxy
from imgserve.transfer.config import Config

_BUFFER_BYTES = 512 * 1024
# The longest wait for memory. libcurl counts it as part of the transfer; ``Exchange.limit`` does not.
_MEMORY_WAIT_S = 600.0
_HTTP = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
_FTP = pycurl.PROTO_FTP | pycurl.PROTO_FTPS
_MAKE_AND_RETRY = 2  # CURLFTP_CREATE_DIR_RETRY
_HOST = re.compile(r"(?:\*\.)?[A-Za-z0-9][A-Za-z0-9.-]*")


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


class Setup:
    """The operator's settings for all handles of one client."""

    def __init__(self, config: Config, proxy: Proxy | None) -> None:
        """Raises OSError, ValueError for settings that cannot be used."""
        self._config = config
        self._proxy = proxy
        self._referers = tuple(map(parse_referer, config.referers))
        self.authorities = Authorities(config.ca_file)

    def apply(self, curl: pycurl.Curl, call: Call, url: str, timeout_s: float) -> None:
        setopt, config, proxy = curl.setopt, self._config, self._proxy
        is_ftp = call.method in FTP_METHODS
        setopt(pycurl.URL, url.encode())
        setopt(pycurl.PROTOCOLS, _FTP if is_ftp else _HTTP)
        setopt(pycurl.NOSIGNAL, 1)
        setopt(pycurl.CONNECTTIMEOUT_MS, max(1, int(min(config.connect_timeout_s, timeout_s) * 1000)))
        setopt(pycurl.CAINFO, self.authorities.path)
        waits_s = 0.0 if call.fetch is None else _MEMORY_WAIT_S
        setopt(pycurl.TIMEOUT_MS, max(1, int((timeout_s + waits_s) * 1000)))
        if call.fetch is not None:
            setopt(pycurl.BUFFERSIZE, _BUFFER_BYTES)
            setopt(pycurl.LOW_SPEED_LIMIT, config.low_speed_bytes_s)
            setopt(pycurl.LOW_SPEED_TIME, config.low_speed_time_s)
        if call.is_fresh:
            setopt(pycurl.FRESH_CONNECT, 1)
        if call.method in ("HEAD", "COMMANDS"):
            setopt(pycurl.NOBODY, 1)
        (self._apply_ftp if is_ftp else self._apply_http)(curl, call)
        setopt(pycurl.PROXY, proxy.url if proxy else "")  # an empty text also shuts out variables
        if proxy:
            setopt(pycurl.NOPROXY, "")
            setopt(pycurl.PROXY_CAINFO, self.authorities.path)
            # Without a tunnel libcurl would have an HTTP proxy speak FTP for us.
            setopt(pycurl.HTTPPROXYTUNNEL, int(is_ftp and proxy.is_http))

    def _apply_http(self, curl: pycurl.Curl, call: Call) -> None:
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        if headers := merged(call.along, call.url, [*call.headers, *self._more_headers(call)]):
            curl.setopt(pycurl.HTTPHEADER, headers)
        if call.method in ("DELETE", "MKCOL") or (call.method == "POST" and not call.parts):
            curl.setopt(pycurl.CUSTOMREQUEST, call.method)
        if not call.is_raw and (call.fetch is not None or call.body_limit_bytes):
            curl.setopt(pycurl.ACCEPT_ENCODING, "")  # all that libcurl knows; a header says what is asked for
        if call.has_digest:
            curl.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_DIGEST)

    def _apply_ftp(self, curl: pycurl.Curl, call: Call) -> None:
        curl.setopt(pycurl.FTP_SKIP_PASV_IP, 1)
        if SCHEMES[location.origin(call.url).scheme].has_tls:
            curl.setopt(pycurl.USE_SSL, pycurl.USESSL_ALL)  # for the data connection too, or not at all
            curl.setopt(pycurl.FTPSSLAUTH, pycurl.FTPAUTH_TLS)
        if call.method == "STOR":
            # Another client may make the directory at the same moment: after a refused MKD, CWD is tried once more.
            curl.setopt(pycurl.FTP_CREATE_MISSING_DIRS, _MAKE_AND_RETRY)
        if call.is_path_whole:
            curl.setopt(pycurl.FTP_FILEMETHOD, pycurl.FTPMETHOD_SINGLECWD)
        if call.before:
            curl.setopt(pycurl.PREQUOTE, list(call.before))
        if call.after:
            curl.setopt(pycurl.POSTQUOTE, list(call.after))

    def _more_headers(self, call: Call) -> list[str]:
        """The header of our trace, and the operator's Referer where the call has none of a page that posts a form."""
        traceparent = tracing.traceparent()
        headers = [f"traceparent: {traceparent}"] if traceparent else []
        if self._referers and not any(header.startswith("Referer:") for header in call.headers):
            host = location.origin(call.url).host
            headers += [f"Referer: {one.url}" for one in self._referers if one.is_for(host)][:1]
        return headers
