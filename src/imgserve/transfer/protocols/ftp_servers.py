"""Remembers what each FTP server has refused, so that not every delivery has to try it again.

``dispatch`` builds one ``Servers``; ``ftp`` asks it. The memory ends with the process: a server repeats its refusals.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from imgserve.transfer.client import location

Naming = Literal["hidden", "visible", "final"]

_REMEMBERED_S = 86_400.0  # a server's settings change seldom, and a day of the worse way is bearable
_REMEMBERED_SERVERS = 1024
_SAME_WRONG_SIZE = 3


class Server:
    """One host, port and login.

    ``naming``: whether uploads get a hidden temporary name, a visible one, or the final name at once.
    ``is_path_whole``: its directories are entered by their whole path, because a parent may not be entered.
    """

    def __init__(self, forgotten_at: float) -> None:
        self.forgotten_at = forgotten_at
        self.naming: Naming = "hidden"
        self.is_path_whole = False
        self._is_size_believed = True
        self._wrong_size = -1
        self._wrong_times = 0

    def is_size_right(self, told_bytes: int, size_bytes: int) -> bool | None:
        """Whether the server's size of a delivered file is right. None: its sizes mean nothing.

        A server that reports the same wrong size three times counts otherwise than we do, and is not asked again.
        """
        if told_bytes == size_bytes:
            self._wrong_times = 0
            return True
        self._wrong_times = self._wrong_times + 1 if told_bytes == self._wrong_size else 1
        self._wrong_size = told_bytes
        self._is_size_believed = self._is_size_believed and self._wrong_times < _SAME_WRONG_SIZE
        return False if self._is_size_believed else None


class Servers:
    """The servers of the last day. Lives in one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[str, int, str], Server] = OrderedDict()

    def of(self, url: str) -> Server:
        """The server that a URL names."""
        place = location.origin(url)
        name = (place.host, place.port, location.user_of(url))
        server = self._known.pop(name, None)
        if server is None or server.forgotten_at <= self._clock():
            server = Server(self._clock() + _REMEMBERED_S)
        self._known[name] = server
        if len(self._known) > _REMEMBERED_SERVERS:
            self._known.popitem(last=False)
        return server
