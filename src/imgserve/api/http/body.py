"""The body of a request, read under the limits of its route. Called by the handlers of the routes that take one."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from imgserve.api.http.asgi import Receive
from imgserve.api.http.inlet import Take
from imgserve.errors import ImgserveError

# The rest of a body, read on into ``take``, after its first message has been received; ``connection`` has one.
Pour = Callable[[Take], Awaitable[None]]


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
    """A body chunk by chunk. Only the time in ``next`` counts, so that a client does not pay for the server's waits.

    With ``pour`` the chunks of ``into`` need no turn of this task.
    """

    def __init__(self, receive: Receive, limits: Body, pour: Pour | None = None) -> None:
        self._receive = receive
        self._pour = pour
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
        since = now()
        try:
            async with asyncio.timeout(self._may_take_s):
                while not chunk and not self._is_over:
                    chunk = await self._piece()
        except TimeoutError:
            raise self._too_slow() from None
        self._count(len(chunk), now() - since)
        return chunk

    async def into(self, take: Take) -> None:
        """All chunks; a view is to be read during the call. Raises as ``next`` and ``take``."""
        while chunk := await self.next():
            take(chunk)
            if self._pour is not None and not self._is_over:
                await self._poured(self._pour, take)

    async def _poured(self, pour: Pour, take: Take) -> None:
        now = asyncio.get_running_loop().time
        since = now()

        def count(piece: bytes | memoryview) -> None:
            nonlocal since
            since, before = now(), since
            if self._count(len(piece), since - before):
                limit.reschedule(since + self._may_take_s)
            take(piece)

        try:
            async with asyncio.timeout(self._may_take_s) as limit:
                await pour(count)
        except TimeoutError:
            raise self._too_slow() from None

    async def _piece(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise BodyCutOff("the body broke off")
        self._is_over = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    @property
    def _may_take_s(self) -> float:
        return min(self._left_s, self._left_in_all_s)

    def _count(self, size_bytes: int, taken_s: float) -> bool:
        """Whether the time is counted anew from here. Raises BodyTooLarge."""
        limits = self._limits
        self._left_s -= taken_s
        self._left_in_all_s -= taken_s
        self._size += size_bytes
        limits.check_size(self._size)
        if limits.lowest_bytes is None or self._size - self._counted < limits.lowest_bytes:
            return False
        self._counted = self._size
        self._left_s = limits.within_s
        return True

    def _too_slow(self) -> BodyTooSlow:
        limits = self._limits
        if self._left_in_all_s <= self._left_s:
            return BodyTooSlow(f"the body was not complete after {limits.at_most_s:g} s")
        if limits.lowest_bytes is not None:
            return BodyTooSlow(f"of the body came less than {limits.lowest_bytes:,} bytes in {limits.within_s:g} s")
        return BodyTooSlow(f"the body was not complete after {limits.within_s:g} s")
