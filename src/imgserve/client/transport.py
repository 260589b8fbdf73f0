"""The client's HTTP, by httpx: the arguments of its clients, and its responses and errors as this package's values."""

import contextlib
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from imgserve.api.control_socket import address_in
from imgserve.client.calls import Reply, Request
from imgserve.client.errors import Unreachable
from imgserve.client.flows import Lost
from imgserve.errors import using

CONNECT_TIMEOUT_S = 10.0
# A placeholder that goes to a slow destination holds up the answer to a job for longer than other calls take.
READ_TIMEOUT_S = 120.0
_VISIBLE = re.compile(r"[!-~]*")


class Server(msgspec.Struct, frozen=True):
    """A server's URL and the key for it; or the data directory of a server of this machine, for its operator.

    ``tls``: for certificates of an authority of one's own.
    """

    url: str
    key: str = ""
    data_dir: Path | None = None
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"expected the URL of a server, such as http://127.0.0.1:8602, got {self.url!r}")
        if not _VISIBLE.fullmatch(self.key):
            raise ValueError("expected a key of visible ASCII characters")  # it is not shown

    def __repr__(self) -> str:
        return f"Server({self.data_dir or self.url})"


def options_of(server: Server) -> dict[str, Any]:
    """The arguments that both clients of httpx have in common."""
    headers = {"user-agent": "imgserve-client"} | ({"authorization": f"Bearer {server.key}"} if server.key else {})
    verify = True if server.tls is None else server.tls
    return {"base_url": server.url, "headers": headers, "verify": verify}


def socket_of(data_dir: Path, held: contextlib.ExitStack) -> str:
    """The address of its control socket, as long as ``held`` is open. Raises FileUnusable."""
    with using(f"the data directory {data_dir}"):
        return held.enter_context(address_in(data_dir))


def arguments_of(request: Request, silence_s: float = READ_TIMEOUT_S) -> dict[str, Any]:
    """``silence_s``: a connection without a byte for so long is dead, if the server does not hold its answer back."""
    timeout = httpx.Timeout(silence_s + request.wait_s, connect=CONNECT_TIMEOUT_S)
    return {"params": request.query, "headers": dict(request.headers), "content": request.body, "timeout": timeout}


def reply_of(response: httpx.Response) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, response.content)


def lost(error: httpx.TransportError, server: Server) -> Lost:
    """Raises Unreachable for a certificate that is not trusted: to ask again would not help."""
    detail = f"no answer from {server.data_dir or server.url}: {error or type(error).__name__}"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        raise Unreachable(detail, "for an authority of your own give tls=ssl.create_default_context(cafile=…)")
    return Lost(detail, not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
