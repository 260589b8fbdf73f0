"""The operator's door: the native calls over ``control.sock`` in the data directory, for its owner and root alone.

The file is 0600, and each connection's peer is asked for its user besides: a socket keeps the rights that it was made
with, even when its directory is opened to others later. Built and served by `server/build.py`` beside the TCP door.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from imgserve.api.auth import App, Receive, Scope, Send
from imgserve.api.control_socket import address_in, peer_of
from imgserve.api.http.connection import TimedProtocol
from imgserve.api.problems import HANDLERS, BodyTooSlow
from imgserve.errors import using

MAX_BODY_BYTES = 1_000_000


def build_control(handlers: list[HTTPRouteHandler], body_timeout_s: float) -> App:
    calls: Any = Litestar(
        handlers,
        exception_handlers=HANDLERS,
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=None,
        logging_config=None,
    )

    async def timed(scope: Scope, receive: Receive, send: Send) -> None:
        ends_at = asyncio.get_running_loop().time() + body_timeout_s

        async def receive_in_time() -> dict[str, Any]:
            try:
                async with asyncio.timeout_at(ends_at):
                    return await receive()
            except TimeoutError:
                raise BodyTooSlow(f"the body was not complete after {body_timeout_s:g} s") from None

        await calls(scope, receive_in_time, send)

    return timed


@contextlib.contextmanager
def listening(data_dir: Path) -> Iterator[socket.socket]:
    """The socket, listening; its file goes with it. Raises FileUnusable.

    The caller owns the data directory, so a socket that is there already is a dead server's.
    """
    with contextlib.ExitStack() as held:
        with using(f"the control socket in {data_dir}"):
            address = held.enter_context(address_in(data_dir))
            listener = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            Path(address).unlink(missing_ok=True)
            old_mask = os.umask(0o177)
            try:
                listener.bind(address)
            finally:
                os.umask(old_mask)
            listener.listen()
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                Path(address).unlink()


class OwnersProtocol(TimedProtocol):
    """Hangs up on everybody but the server's own user and root."""

    def connection_made(self, transport: Any) -> None:
        # A duplicate, because uvloop's sockets have no getsockopt.
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as connection:
            if peer_of(connection).uid not in (0, os.geteuid()):
                transport.abort()
        super().connection_made(transport)
