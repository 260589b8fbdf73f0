"""The body of a request, read under the limits of its route. Called by the handlers of the routes that take one."""

import asyncio
from collections.abc import Callable

import msgspec

from imgserve.api.http.asgi import Receive
from imgserve.errors import ImgserveError


class Body(msgspec.Struct, frozen=True):
    """``max_bytes`` in all, and ``within_s``: for all of it or, with ``lowest_bytes``, for each so many bytes."""

    max_bytes: int
    within_s: float
    lowest_bytes: int | None = None


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


async def read(receive: Receive, limits: Body) -> bytes:
    """The whole body in memory. Raises BodyTooLarge, BodyTooSlow, BodyCutOff."""
    chunks: list[bytes] = []
    await stream(receive, limits, chunks.append)
    return b"".join(chunks)


async def stream(receive: Receive, limits: Body, take: Callable[[bytes], object]) -> None:
    """Give each chunk to ``take``, such as a blob's ``append``. Raises as ``read`` does, after some have been taken."""
    size = counted = 0
    now = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(limits.within_s) as deadline:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BodyCutOff("the body broke off")
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limits.max_bytes:
                    raise BodyTooLarge(f"the body is longer than {limits.max_bytes:,} bytes", "send less")
                take(chunk)
                if not message.get("more_body", False):
                    return
                if limits.lowest_bytes is not None and size - counted >= limits.lowest_bytes:
                    counted = size
                    deadline.reschedule(now() + limits.within_s)
    except TimeoutError:
        raise BodyTooSlow(f"the body was not complete after {limits.within_s:g} s") from None
