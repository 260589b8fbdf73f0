"""The operator's door: the native calls over ``control.sock`` in the data directory, for its owner and root alone.

The file is 0600, and each connection's peer is asked for its user besides: a socket keeps the rights that it was made
with, even when its directory is opened to others later. Built and served by `server/build.py`` beside the TCP door.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from imgserve.api.auth import App, Receive, Scope, Send
from imgserve.api.http.connection import TimedProtocol
from imgserve.api.problems import HANDLERS, BodyTooSlow
from imgserve.errors import using

SOCKET_NAME = "control.sock"
MAX_BODY_BYTES = 1_000_000
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


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

    The caller owns the data directory, so a socket that is there already is a dead server's. Its path may be longer
    than an address holds (107 bytes): the directory is therefore named by a descriptor.
    """
    with using(f"the control socket in {data_dir}"):
        directory, listener = _bound(data_dir)
    try:
        yield listener
    finally:
        listener.close()
        with contextlib.suppress(OSError):
            os.unlink(SOCKET_NAME, dir_fd=directory)
        os.close(directory)


def _bound(data_dir: Path) -> tuple[int, socket.socket]:
    """The directory's descriptor and the socket. Raises OSError."""
    with contextlib.ExitStack() as undo:
        directory = os.open(data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        undo.callback(os.close, directory)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        undo.callback(listener.close)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET_NAME, dir_fd=directory)
        old_mask = os.umask(0o177)
        try:
            listener.bind(f"/proc/self/fd/{directory}/{SOCKET_NAME}")
        finally:
            os.umask(old_mask)
        listener.listen()
        undo.pop_all()
    return directory, listener


class OwnersProtocol(TimedProtocol):
    """Hangs up on everybody but the server's own user and root."""

    def connection_made(self, transport: Any) -> None:
        if _peer_uid(transport.get_extra_info("socket").fileno()) not in (0, os.geteuid()):
            transport.abort()
        super().connection_made(transport)


def _peer_uid(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(credentials)[1]
    return uid
