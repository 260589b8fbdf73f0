"""Tells the service manager that the server is ready: sd_notify(3), one datagram to the socket that it named.

Called by ``detach`` for a server in the foreground. Without a socket there is no service manager to tell.
"""

import socket


def tell(address: str, state: str) -> None:
    """Send ``READY=1`` or the like. ``address`` is $NOTIFY_SOCKET. Raises OSError."""
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(state.encode())
