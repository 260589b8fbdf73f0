"""The body of a request, read under the limits of its route. Called by the handlers of the routes that take one."""

import asyncio
import math
from collections.abc import Callable, Mapping

import msgspec

from imgserve.api.http.asgi import Receive
from imgserve.errors import ImgserveError


class Body(msgspec.Struct, frozen=True):
    """``max_bytes`` in all, and ``within_s``: for all of it or, with ``lowest_bytes``, for each so many bytes and for
    the rest. ``at_most_s``: for all of it, however fast.
    """

    max_bytes: int
    within_s: float
    lowest_bytes: int | None = None
    at_most_s: float = math.inf

    def check_size(self, size_bytes: int) -> None:
        """Raises BodyTooLarge."""
        if size_bytes > self.max_bytes:
            raise BodyTooLarge(f"the body is longer than {self.max_bytes:,} bytes", "send less")


class BodyTooLarge(ImgserveError):
    code = "body_too_large"
    status = 413
    title = "The body is too large"


class BodyTooSlow(ImgserveError):
    code = "body_too_slow"
    status = 408
    title = "The body did not come in time"


class BodyCutOff(ImgserveError):
    """The client has hung up, or the rest is no HTTP. Part of a request is not a request."""

    code = "body_cut_off"
    status = 400
    title = "The body is not complete"


def length_in(headers: Mapping[bytes, bytes]) -> int | None:
    """The Content-Length, which ``request_head`` has checked; None without one."""
    text = headers.get(b"content-length")
    return int(text) if text is not None else None


async def read(receive: Receive, limits: Body) -> bytes:
    """The whole body in memory. Raises BodyTooLarge, BodyTooSlow, BodyCutOff."""
    chunks: list[bytes] = []
    await stream(receive, limits, chunks.append)
    return b"".join(chunks)


async def stream(receive: Receive, limits: Body, take: Callable[[bytes], object]) -> None:
    """Give each chunk to ``take``, such as a blob's ``append``. Raises as ``read`` does, after some have been taken."""
    incoming = Incoming(receive, limits)
    while chunk := await incoming.next():
        take(chunk)


async def until_gone(receive: Receive) -> None:
    """Return when the client has hung up. Its request has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Incoming:
    """A body chunk by chunk. Only the time in ``next`` counts, so that a client does not pay for the server's waits."""

    def __init__(self, receive: Receive, limits: Body) -> None:
        self._receive = receive
        self._limits = limits
        self._size = self._counted = 0
        self._left_s, self._left_in_all_s = limits.within_s, limits.at_most_s
        self._is_over = False

    async def next(self) -> bytes:
        """The next chunk; empty behind the last one. Raises BodyTooLarge, BodyTooSlow, BodyCutOff."""
        chunk = b""
        if self._is_over:
            return chunk
        now = asyncio.get_running_loop().time
        since, may_take_s = now(), min(self._left_s, self._left_in_all_s)
        try:
            async with asyncio.timeout(may_take_s):
                while not chunk and not self._is_over:
                    chunk = await self._piece()
        except TimeoutError:
            raise self._too_slow() from None
        taken_s = now() - since
        self._left_s -= taken_s
        self._left_in_all_s -= taken_s
        self._count(chunk)
        return chunk

    async def _piece(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise BodyCutOff("the body broke off")
        self._is_over = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    def _count(self, chunk: bytes) -> None:
        limits = self._limits
        self._size += len(chunk)
        limits.check_size(self._size)
        if limits.lowest_bytes is not None and self._size - self._counted >= limits.lowest_bytes:
            self._counted = self._size
            self._left_s = limits.within_s

    def _too_slow(self) -> BodyTooSlow:
        limits = self._limits
        if self._left_in_all_s <= self._left_s:
            return BodyTooSlow(f"the body was not complete after {limits.at_most_s:g} s")
        if limits.lowest_bytes is not None:
            return BodyTooSlow(f"of the body came less than {limits.lowest_bytes:,} bytes in {limits.within_s:g} s")
        return BodyTooSlow(f"the body was not complete after {limits.within_s:g} s")
