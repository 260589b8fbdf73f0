"""Cached pictures that were asked for before by the same URL: answered while the request's head is read, without ASGI.

``http/connection`` calls ``answer``, ``images`` adds what it has sent from memory. A request that asks for anything but
the whole picture goes the usual way, and so does the first one of each URL: that one was judged by ``entrance``.
"""

import itertools
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

# Fields that choose another answer, or that the usual way has to deal with.
_USUAL_WAY = frozenset({
    b"if-none-match", b"if-modified-since", b"range", b"origin", b"x-request-id", b"dpr", b"sec-ch-dpr", b"width",
    b"sec-ch-width", b"expect", b"content-length", b"transfer-encoding", b"upgrade",
})  # fmt: skip
# Of URLs with their Accept. Each takes 3 KB here, so there are no more of them than small pictures in memory.
_LONGEST, _SMALL_PICTURE_BYTES = 1_000, 8_000


class Hot(NamedTuple):
    """Header lines, each with its end, and the whole body."""

    lines: bytes
    body: bytes


# The answer of now, None if the picture is no longer fresh in memory. The argument is the request's id.
Renew = Callable[[str], Hot | None]


class HotHits:
    """``memory_bytes``: that of the cached pictures."""

    def __init__(self, memory_bytes: int) -> None:
        self._most = memory_bytes // _SMALL_PICTURE_BYTES
        self._renew: OrderedDict[tuple[bytes, bytes], Renew] = OrderedDict()
        # Of ids. Not the module's: processes that are forked from one that has loaded it would make the same ones.
        self._prefix, self._numbers = os.urandom(6).hex(), itertools.count(1)

    def add(self, url: bytes, accept: bytes, renew: Renew) -> None:
        if len(url) + len(accept) <= _LONGEST:
            self._renew[url, accept] = renew
            if len(self._renew) > self._most:
                self._renew.popitem(last=False)

    def clear(self) -> None:
        """After a change of what URLs are right."""
        self._renew.clear()

    def answer(self, url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Hot | None:
        """To a GET whose connection stays open. None: the usual way. Its lines include the request's id."""
        accept = b""
        for name, value in headers:
            if name == b"accept":
                if accept:
                    return None
                accept = value
            elif name in _USUAL_WAY:
                return None
        renew = self._renew.get((url, accept))
        if renew is None:
            return None
        request_id = f"{self._prefix}{next(self._numbers):012x}"
        hot = renew(request_id)
        if hot is None:
            del self._renew[url, accept]
            return None
        return Hot(b"x-request-id: %b\r\n%b" % (request_id.encode(), hot.lines), hot.body)
