"""The listening socket at the server's address. Opened by ``detach``, since the port may be root's alone."""

import errno
import socket

from imgserve.api.config import Config
from imgserve.errors import ImgserveError

BACKLOG = 2048
_REASONS = {
    errno.EADDRINUSE: ("another program listens there", "choose another --port, or end that program"),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "choose another --host"),
    errno.EACCES: ("ports below 1024 are root's", "choose another --port, or start it as root with --user"),
    socket.EAI_NONAME: ("there is no such host", "name the address alone, such as 127.0.0.1 or ::1, with --host"),
    socket.EAI_AGAIN: ("its name cannot be looked up now", "choose another --host, best an address"),
}


class CannotListen(ImgserveError):
    """The server cannot listen on its address."""


def listen(config: Config) -> socket.socket:
    """The listening socket. Raises CannotListen."""
    is_ipv6 = ":" in config.host
    family, is_dual = (socket.AF_INET6, socket.has_dualstack_ipv6()) if is_ipv6 else (socket.AF_INET, False)
    address = config.host, config.port
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=is_dual)
    except OSError as error:
        reason, hint = _REASONS.get(error.errno or 0, (error.strerror or str(error), "choose another --host or --port"))
        raise CannotListen(f"cannot listen on {config.host}:{config.port}: {reason}", hint) from error
