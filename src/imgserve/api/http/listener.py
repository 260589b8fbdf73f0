"""The listening socket at the server's address. Opened by ``detach``, since the port may be root's alone."""

import errno
import socket

from imgserve.api.config import Config
from imgserve.api.http.connection import BACKLOG
from imgserve.errors import ImgserveError

_REASONS = {
    errno.EADDRINUSE: ("another program listens there", "choose another --port, or end that program"),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "choose another --host"),
    errno.EACCES: ("ports below 1024 are root's", "choose another --port, or start it as root with --user"),
    socket.EAI_NONAME: ("there is no such host", "choose another --host"),
}


class CannotListen(ImgserveError):
    code = "cannot_listen"
    title = "The server cannot listen on its address"


def listen(config: Config) -> socket.socket:
    """The listening socket. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
        listener.listen(BACKLOG)  # now, so that the ready line is true when it is printed
    except OSError as error:
        listener.close()
        reason, hint = _REASONS.get(error.errno or 0, (error.strerror or str(error), "choose another --host or --port"))
        raise CannotListen(f"cannot listen on {config.host}:{config.port}: {reason}", hint) from error
    return listener
