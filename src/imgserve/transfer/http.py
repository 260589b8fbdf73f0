"""HTTP(S): fetch a source by GET; deliver by PUT; delete. Called by ``dispatch``.

What an answer means: a 4xx is for good, save 408, 425 and 429; a 5xx may heal. A write is done on 2xx only.
"""

import asyncio

from imgserve.blob import Blob
from imgserve.transfer import location
from imgserve.transfer.call import Answer, Call
from imgserve.transfer.curl import Client
from imgserve.transfer.faults import Broken, DeliveryFailed, SourceUnavailable, delivery_fault, source_fault
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.write import Delivery, Write

AGENT = "User-Agent: imgserve"
REPEATS = frozenset({307, 308})
_PASSING = frozenset({408, 425, 429})
_ABSENT = frozenset({404, 410})
_VERIFY_TIMEOUT_S = 5.0


def is_good(status: int) -> bool:
    return 200 <= status < 300


def can_heal(status: int) -> bool:
    return status >= 500 or status in _PASSING


async def fetch(client: Client, url: str, into: Fetch, timeout_s: float) -> None:
    """GET into ``into``. Raises SourceUnavailable, SourceTooLarge, SourceRefused."""
    call = Call(method="GET", url=url, timeout_s=timeout_s, headers=(AGENT,), fetch=into, follows_redirects=True)
    try:
        answer = await client.perform(call)
    except Broken as broken:
        raise source_fault(broken) from None
    if not is_good(answer.status):
        raise SourceUnavailable(
            f"{location.origin(url)} answered {answer.status} for the source",
            is_retryable=can_heal(answer.status),
            retry_after_s=answer.retry_after_s,
        )


async def put(client: Client, url: str, blob: Blob, write: Write) -> Delivery:
    """PUT with Content-Length. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
    deadline = asyncio.get_running_loop().time() + write.timeout_s
    answer = await _put_followed(client, url, blob, write, deadline)
    if answer.status >= 500 and write.state == "placeholder":
        answer = await _put_followed(client, url, blob, write, deadline)
    if not is_good(answer.status):
        raise refused_write(url, answer)
    # A presigned URL is signed for PUT alone.
    if write.state != "final" or location.has_query(url):
        return Delivery(is_verified=False)
    return await _verify(client, url, blob.size, deadline)


async def delete(client: Client, url: str, timeout_s: float) -> None:
    """DELETE; what is not there counts as deleted. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
    try:
        answer = await client.perform(Call(method="DELETE", url=url, timeout_s=timeout_s, headers=(AGENT,)))
    except Broken as broken:
        raise delivery_fault(broken) from None
    if not is_good(answer.status) and answer.status not in _ABSENT:
        raise refused_write(url, answer)


def refused_write(url: str, answer: Answer) -> DeliveryFailed:
    return DeliveryFailed(
        f"{location.origin(url)} answered {answer.status} to the {'delivery' if answer.status else 'connection'}",
        is_retryable=can_heal(answer.status),
        retry_after_s=answer.retry_after_s,
    )


def repeat_target(url: str, answer: Answer) -> str:
    """Where a 307 or 308 wants the write sent again. Raises DeliveryFailed for a place that is not followed."""
    try:
        is_followed = location.origin(answer.redirect).scheme in ("http", "https")
        is_followed = is_followed and not location.is_downgrade(url, answer.redirect)
    except ValueError:
        raise refused_write(url, answer) from None
    if not is_followed:
        raise DeliveryFailed(f"{location.origin(url)} redirects the delivery to a scheme that is not followed")
    return location.with_login_of(url, answer.redirect)


def time_left(deadline: float) -> float:
    return max(0.001, deadline - asyncio.get_running_loop().time())


async def _put_followed(client: Client, url: str, blob: Blob, write: Write, deadline: float) -> Answer:
    answer = await _put_once(client, url, blob, write, deadline)
    if answer.status in REPEATS:
        answer = await _put_once(client, repeat_target(url, answer), blob, write, deadline)
    return answer


async def _put_once(client: Client, url: str, blob: Blob, write: Write, deadline: float) -> Answer:
    # An empty Expect keeps libcurl from asking first and waiting for a 100.
    headers = (AGENT, "Expect:", f"Content-Type: {write.media_type}", *write.http_headers())
    try:
        return await client.perform(
            Call(method="PUT", url=url, timeout_s=time_left(deadline), headers=headers, body=blob)
        )
    except Broken as broken:
        raise delivery_fault(broken) from None


async def _verify(client: Client, url: str, size_bytes: int, deadline: float) -> Delivery:
    timeout_s = min(_VERIFY_TIMEOUT_S, time_left(deadline))
    call = Call(method="HEAD", url=url, timeout_s=timeout_s, headers=(AGENT,))
    try:
        answer = await client.perform(call)
    except Broken:
        return Delivery(is_verified=False)
    if answer.status != 200 or answer.length is None:
        return Delivery(is_verified=False)
    if answer.length != size_bytes:
        raise DeliveryFailed(
            f"{location.origin(url)} holds {answer.length} bytes after a delivery of {size_bytes}", is_retryable=True
        )
    return Delivery(is_verified=True)
