"""Ports of loopback for servers that are told theirs, and for places where nobody listens."""

import contextlib
import random
import socket


def free_port() -> int:
    """Below those that the kernel gives to clients, which could take it before the server does, or while it is away.
    A client of a port of the kernel's choice that nobody has may even be connected to itself.
    """
    while True:
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", random.randrange(15_000, 32_000)))
            return int(free.getsockname()[1])
