"""The body of a request, read under the limits of its route. Called by the handlers of the routes that take one."""

import asyncio

import msgspec

from imgserve.api.http.asgi import Receive
from imgserve.errors import ImgserveError


class Body(msgspec.Struct, frozen=True):
    """A body of at most ``max_bytes``, which must be complete ``within_s``. It is read into memory."""

    max_bytes: int
    within_s: float


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
    """Raises BodyTooLarge, BodyTooSlow, BodyCutOff."""
    data = bytearray()
    try:
        async with asyncio.timeout(limits.within_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BodyCutOff("the body broke off")
                data += message.get("body", b"")
                if len(data) > limits.max_bytes:
                    raise BodyTooLarge(f"the body is longer than {limits.max_bytes:,} bytes", "send less")
                if not message.get("more_body", False):
                    return bytes(data)
    except TimeoutError:
        raise BodyTooSlow(f"the body was not complete after {limits.within_s:g} s") from None
