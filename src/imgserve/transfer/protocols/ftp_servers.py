"""Remembers what each FTP server has refused, so that not every delivery tries it again. Called by ``ftp``.

The memory ends with the process: a server repeats its refusals.
"""

import time
from collections import OrderedDict
from typing import Literal

from imgserve.transfer.client import location

Naming = Literal["hidden", "visible", "final"]

_REMEMBERED_S = 86_400.0  # a server's settings change seldom
_REMEMBERED_SERVERS = 1024
_SAME_WRONG_SIZE = 3


class Server:
    """One host, port and login.

    ``naming``: whether uploads get a hidden temporary name, a visible one, or the final name at once.
    ``is_path_whole``: its directories are entered by their whole path, because a parent may not be entered.
    """

    def __init__(self, expires_at_s: float) -> None:
        self.expires_at_s = expires_at_s
        self.naming: Naming = "hidden"
        self.is_path_whole = False
        self._has_true_sizes = True
        self._wrong_size = -1
        self._wrong_times = 0

    def is_size_right(self, reported_bytes: int, size_bytes: int) -> bool | None:
        """Whether the reported size of a delivered file is right. None: this server's sizes mean nothing.

        A server that reports the same wrong size three times counts in its own way, and is ignored from then on.
        """
        if reported_bytes == size_bytes:
            self._wrong_times = 0
            return True
        self._wrong_times = self._wrong_times + 1 if reported_bytes == self._wrong_size else 1
        self._wrong_size = reported_bytes
        self._has_true_sizes = self._has_true_sizes and self._wrong_times < _SAME_WRONG_SIZE
        return False if self._has_true_sizes else None


class Servers:
    """The servers of the last day."""

    def __init__(self) -> None:
        self._servers: OrderedDict[tuple[str, int, str], Server] = OrderedDict()

    def of(self, url: str) -> Server:
        """The server that a URL names."""
        origin = location.origin(url)
        name = (origin.host, origin.port, location.user_of(url))
        server = self._servers.pop(name, None)
        if server is None or server.expires_at_s <= time.monotonic():
            server = Server(time.monotonic() + _REMEMBERED_S)
        self._servers[name] = server
        if len(self._servers) > _REMEMBERED_SERVERS:
            self._servers.popitem(last=False)
        return server
