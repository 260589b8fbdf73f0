"""The operator's listener: the native calls over ``control.sock`` in the data directory, for its owner and root alone.

The file is 0600, and the kernel names the user at the other end of each connection besides: a socket keeps the rights
of its creation, even when its directory is opened to others later. ``server/lifecycle.py`` serves it.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imgserve.api.control_socket import address_in, peer_of
from imgserve.api.http.connection import TimedProtocol
from imgserve.errors import using


@contextlib.contextmanager
def listening(data_dir: Path) -> Iterator[socket.socket]:
    """The listening socket; its file is removed with it. Raises FileUnusable.

    This server owns the data directory, so a socket that stands there is a dead server's.
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
    """Hangs up on all users but the server's own and root."""

    def connection_made(self, transport: Any) -> None:
        # A duplicate, because uvloop's sockets have no getsockopt.
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as connection:
            if peer_of(connection).uid not in (0, os.geteuid()):
                transport.abort()
        super().connection_made(transport)
