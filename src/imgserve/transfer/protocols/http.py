"""HTTP(S): fetch a source by GET; deliver by PUT; delete. Called by ``dispatch``.

A 4xx is permanent, except 408, 425 and 429; a 5xx may heal. A write is done on 2xx only.
"""

import asyncio
from contextlib import suppress

from imgserve.blob import Blob
from imgserve.request.destination import Destination
from imgserve.request.source import Source
from imgserve.telemetry import logs
from imgserve.transfer.client import follow, location, statuses
from imgserve.transfer.client.call import Answer, Call
from imgserve.transfer.client.curl import Client
from imgserve.transfer.faults import (
    Broken,
    DeliveryFailed,
    SourceUnavailable,
    TransferError,
    delivering,
    source_fault,
)
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.protocols import webdav
from imgserve.transfer.write import Delivery, Write

AGENT = "User-Agent: imgserve"
PLAIN = "Accept-Encoding: identity"
REPEATS = frozenset({307, 308})
_CONFLICT = 409
_ABSENT = frozenset({404, 410})
_VERIFY_TIMEOUT_S = 5.0


def is_good(status: int) -> bool:
    return 200 <= status < 300


class Http:
    """GET for sources, PUT and DELETE for destinations."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def fetch(self, source: Source, into: Fetch, timeout_s: float) -> None:
        """GET into ``into``. Raises SourceUnavailable, SourceTooLarge, SourceRefused."""
        url = source.url
        call = Call(method="GET", url=url, timeout_s=timeout_s, headers=(AGENT, PLAIN), fetch=into, decodes=True)
        try:
            answer = await follow.get(self._client, call)
        except Broken as broken:
            raise source_fault(broken) from None
        if not is_good(answer.status):
            first, last = str(location.origin(url)), str(location.origin(answer.url))
            place = last if last == first else f"{last}, where {first} redirects,"
            raise SourceUnavailable(
                f"{place} answered {answer.status} for the source",
                statuses.remedy(answer.status),
                is_retryable=statuses.can_heal(answer.status),
                retry_after_s=answer.retry_after_s,
            )

    async def deliver(self, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """PUT with Content-Length. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
        url = destination.url
        put = _Put(
            self._client, blob, asyncio.get_running_loop().time() + write.timeout_s, _headers(destination, write)
        )
        answer = await put.followed(url)
        if answer.status == _CONFLICT and not location.has_query(url):  # a signed URL is for PUT alone
            if await webdav.make_parents(url, put.make):
                answer = await put.followed(url)
        elif answer.status >= 500 and write.state == "placeholder":
            answer = await put.followed(url)
        if not is_good(answer.status):
            raise refused_write(url, answer)
        # A presigned URL is signed for PUT alone.
        if write.state != "final" or location.has_query(url):
            return Delivery(is_verified=False)
        return await put.verified(url)

    async def delete(self, destination: Destination, write: Write) -> None:
        """DELETE; a missing file counts as deleted. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
        url = destination.url
        call = Call(method="DELETE", url=url, timeout_s=write.timeout_s, headers=(AGENT,))
        with delivering():
            answer = await self._client.perform(call)
        if not is_good(answer.status) and answer.status not in _ABSENT:
            raise refused_write(url, answer)


def refused_write(url: str, answer: Answer) -> DeliveryFailed:
    return DeliveryFailed(
        f"{location.origin(url)} answered {answer.status} to the {'delivery' if answer.status else 'connection'}",
        statuses.remedy(answer.status, is_write=True),
        is_retryable=statuses.can_heal(answer.status),
        retry_after_s=answer.retry_after_s,
    )


def repeat_target(url: str, answer: Answer) -> str:
    """Where a 307 or 308 wants the write sent again. Raises DeliveryFailed for a place that is not followed."""
    try:
        return location.redirected(url, answer.location)
    except ValueError as error:
        reason = f"{location.origin(url)} redirects the delivery to {error}"
        raise DeliveryFailed(reason, "use a URL that does not redirect") from None


def time_left(deadline: float) -> float:
    return max(0.001, deadline - asyncio.get_running_loop().time())


class _Put:
    """One picture on its way to one place, with all the requests that it needs."""

    def __init__(self, client: Client, blob: Blob, deadline: float, headers: tuple[str, ...]) -> None:
        self._client = client
        self._blob = blob
        self._deadline = deadline
        self._headers = headers

    async def followed(self, url: str) -> Answer:
        answer = await self._once(url)
        if answer.status in REPEATS:
            answer = await self._once(repeat_target(url, answer))
        return answer

    async def make(self, url: str) -> int:
        """MKCOL; the status."""
        call = Call(method="MKCOL", url=url, timeout_s=time_left(self._deadline), headers=(AGENT,))
        with delivering():
            return (await self._client.perform(call)).status

    async def verified(self, url: str) -> Delivery:
        """The answer to the PUT counts. A HEAD can confirm it, or cause one more PUT; it never causes a fault."""
        size_bytes, place = self._blob.size, str(location.origin(url))
        length = await self._length(url)
        if length is not None and length not in (0, size_bytes):
            logs.event("put_differs", level=logs.WARNING, host=place, told_bytes=length, sent_bytes=size_bytes)
            with suppress(TransferError):
                await self.followed(url)
                length = await self._length(url)
        return Delivery(is_verified=length == size_bytes)

    async def _once(self, url: str) -> Answer:
        call = Call(method="PUT", url=url, timeout_s=time_left(self._deadline), headers=self._headers, body=self._blob)
        with delivering():
            return await self._client.perform(call)

    async def _length(self, url: str) -> int | None:
        """How many bytes the server says are there; None when it does not say, or says it of an encoded form."""
        timeout_s = min(_VERIFY_TIMEOUT_S, time_left(self._deadline))
        call = Call(method="HEAD", url=url, timeout_s=timeout_s, headers=(AGENT, PLAIN))
        try:
            answer = await self._client.perform(call)
        except Broken:
            return None
        return answer.length if answer.status == 200 else None


def _headers(destination: Destination, write: Write) -> tuple[str, ...]:
    # An empty Expect keeps libcurl from asking first and waiting for a 100.
    media_type = () if destination.has_no_type else (f"Content-Type: {write.media_type}",)
    return (AGENT, "Expect:", *media_type, *write.http_headers())
