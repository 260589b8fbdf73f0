"""HTTP(S): fetch a source by GET; deliver by PUT; delete. Called by ``dispatch``.

A 4xx is permanent, except 408, 425 and 429; a 5xx is transient. A write is done on 2xx only.
"""

import time
from contextlib import suppress

from imgserve.blob import Blob
from imgserve.request.destination import Destination
from imgserve.request.instant import instant_text
from imgserve.request.presigned import expiry_of
from imgserve.request.source import Source
from imgserve.telemetry import logs
from imgserve.transfer.client import location, statuses
from imgserve.transfer.client.along import Along
from imgserve.transfer.client.call import Answer, Call, deadline_in
from imgserve.transfer.client.curl import Client
from imgserve.transfer.credentials import Credentials
from imgserve.transfer.faults import (
    USE_REPLACE,
    CannotAsk,
    DeliveryFailed,
    DestinationExpired,
    ExchangeFailed,
    SourceNotFound,
    SourceUnavailable,
    TransferError,
    delivering,
    delivery_fault,
    fetching,
)
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.write import CACHING, Delivery, Write

AGENT = "User-Agent: imgserve"
PLAIN = "Accept-Encoding: identity"
NO_EXPECT = "Expect:"  # keeps libcurl from sending the head first and waiting for a 100
REPEATS = frozenset({307, 308})
_UNCHANGED = 304
_FORBIDDEN = 403
_CONFLICT = 409  # to a PUT or MKCOL: the collection above is missing
_ABSENT = frozenset({404, 410})
_WITHOUT_HEAD = frozenset({405, 501})
_MADE = frozenset({201, 405})  # by this MKCOL, or by another client
_MAX_LEVELS = 16
_VERIFY_TIMEOUT_S = 5.0


def along_with(credentials: Credentials, destination: Destination, write: Write) -> Along | None:
    """The further headers of a write. Raises CredentialNotAllowed."""
    along = credentials.along(destination.sends, write.principal, destination.url)
    return along if along is None or write.state == "final" else along.without(CACHING)


def is_good(status: int) -> bool:
    return 200 <= status < 300


class Http:
    """GET for sources, PUT and DELETE for destinations."""

    def __init__(self, client: Client, credentials: Credentials) -> None:
        self._client = client
        self._credentials = credentials

    async def fetch(self, source: Source, into: Fetch, timeout_s: float, principal: str) -> None:
        """GET into ``into``.

        Raises SourceNotFound, SourceUnavailable, SourceTooLarge, SourceRefused, CredentialNotAllowed.
        """
        url, deadline_s = source.url, deadline_in(timeout_s)
        along = self._credentials.along(source.sends, principal, url)
        headers = (AGENT, PLAIN, *into.held.conditions())
        call = Call(
            method="GET", url=url, deadline_s=deadline_s, headers=headers, along=along, fetch=into, follows=into.led_to
        )
        with fetching:
            answer = await self._client.get(call)
        if answer.status == _UNCHANGED and into.held.is_known:
            into.version, into.is_unchanged = into.held.after(answer.version), True
            return
        if not is_good(answer.status):
            first, last = str(location.origin(url)), str(location.origin(answer.url))
            host = last if last == first else f"{last}, where {first} redirects,"
            kind = SourceNotFound if answer.status in _ABSENT else SourceUnavailable
            raise _refused(kind, f"{host} answered {answer.status} for the source", answer)
        into.version = answer.version

    async def deliver(self, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """PUT with Content-Length. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused, CredentialNotAllowed."""
        url = destination.url
        along = along_with(self._credentials, destination, write)
        media_type = () if destination.has_no_type else (f"Content-Type: {write.media_type}",)
        headers = (AGENT, NO_EXPECT, *media_type, *write.http_headers())
        deadline_s = deadline_in(write.timeout_s)
        put = Call(method="PUT", url=url, deadline_s=deadline_s, headers=headers, along=along, body=blob)
        answer = await self._put(put)
        if answer.status == _CONFLICT and not location.has_query(url):  # a signed URL is for PUT alone
            parent = location.parent(url)
            if parent and await self._make_collection(parent, put):
                answer = await self._put(put)
        elif answer.status >= 500 and write.state == "placeholder":
            answer = await self._put(put)
        if not is_good(answer.status):
            raise refused_write(answer)
        # A presigned URL is signed for PUT alone.
        if write.state != "final" or location.has_query(url):
            return Delivery(is_verified=False)
        return await self._verify(put, blob.size)

    async def delete(self, destination: Destination, write: Write) -> None:
        """DELETE; a missing file counts as deleted. Raises as ``deliver``."""
        along, deadline_s = along_with(self._credentials, destination, write), deadline_in(write.timeout_s)
        call = Call(method="DELETE", url=destination.url, deadline_s=deadline_s, headers=(AGENT,), along=along)
        with delivering:
            answer = await self._client.perform(call)
        if not is_good(answer.status) and answer.status not in _ABSENT:
            raise refused_write(answer)

    async def size_of(self, destination: Destination, write: Write) -> int | None:
        """The length that a HEAD tells, 0 where it tells none, or too late; None if there is no file.

        Raises DeliveryFailed, DestinationRefused, CannotAsk, CredentialNotAllowed.
        """
        url, deadline_s = destination.url, deadline_in(write.timeout_s)
        along = along_with(self._credentials, destination, write)
        call = Call(method="HEAD", url=url, deadline_s=deadline_s, headers=(AGENT, PLAIN), along=along)
        try:
            answer = await self._repeated(call)
        except ExchangeFailed as failure:
            if failure.is_late:
                return 0
            raise delivery_fault(failure) from None
        if answer.status in _WITHOUT_HEAD:
            detail = f"{location.origin(url)} answered {answer.status} to HEAD"
            raise CannotAsk(detail, USE_REPLACE)
        if answer.status in _ABSENT:
            return None
        if not is_good(answer.status):
            raise refused_write(answer)
        return answer.length or 0

    async def _put(self, put: Call) -> Answer:
        """Raises as ``deliver``."""
        with delivering:
            return await self._repeated(put)

    async def _repeated(self, call: Call) -> Answer:
        """The answer, after one redirect that wants the call repeated. Raises ExchangeFailed, DeliveryFailed."""
        answer = await self._client.perform(call)
        if answer.status in REPEATS:
            answer = await self._client.perform(call.redirected(repeat_target(call.url, answer)))
        return answer

    async def _verify(self, put: Call, size_bytes: int) -> Delivery:
        """The answer to the PUT counts. A HEAD can confirm it, or cause one more PUT; it never causes a fault."""
        length = await self._length(put)
        if length is not None and length not in (0, size_bytes):
            host = str(location.origin(put.url))
            logs.event("put_differs", level=logs.WARNING, host=host, reported_bytes=length, sent_bytes=size_bytes)
            with suppress(TransferError):
                await self._put(put)
                length = await self._length(put)
        return Delivery(is_verified=length == size_bytes)

    async def _length(self, put: Call) -> int | None:
        """The size that the server reports; None without one, or when it is that of an encoded form."""
        deadline_s = min(put.deadline_s, deadline_in(_VERIFY_TIMEOUT_S))
        call = Call(method="HEAD", url=put.url, deadline_s=deadline_s, headers=(AGENT, PLAIN), along=put.along)
        with suppress(ExchangeFailed):
            answer = await self._client.perform(call)
            return answer.length if answer.status == 200 else None
        return None

    async def _make_collection(self, url: str, put: Call, levels: int = _MAX_LEVELS) -> bool:
        """Make a WebDAV collection, and those above it where the server wants them (RFC 4918, 9.3.1)."""
        call = Call(method="MKCOL", url=url, deadline_s=put.deadline_s, headers=(AGENT,), along=put.along)
        with delivering:
            status = (await self._client.perform(call)).status
            parent = location.parent(url) if status == _CONFLICT and levels > 1 else ""
            if parent and await self._make_collection(parent, put, levels - 1):
                status = (await self._client.perform(call)).status
        return status in _MADE


def refused_write(answer: Answer) -> TransferError:
    expires_at = expiry_of(answer.url) if answer.status == _FORBIDDEN else None
    if expires_at is not None and expires_at <= time.time():
        detail = f"The URL expired at {instant_text(expires_at)}, and {location.origin(answer.url)} answered 403"
        return DestinationExpired(detail, "post the job again with a new URL")
    request = "delivery" if answer.status else "connection"
    return _refused(DeliveryFailed, f"{location.origin(answer.url)} answered {answer.status} to the {request}", answer)


def _refused(kind: type[TransferError], detail: str, answer: Answer) -> TransferError:
    remedy = statuses.remedy(answer.status, is_write=kind is DeliveryFailed)
    is_retryable = statuses.is_transient(answer.status)
    error = kind(detail, remedy, is_retryable=is_retryable, retry_after_s=answer.retry_after_s)
    error.answered = answer.status
    return error


def repeat_target(url: str, answer: Answer) -> str:
    """The URL to which a 307 or 308 wants the write sent again. Raises DeliveryFailed for one that is not followed."""
    try:
        return location.redirect_target(url, answer.location)
    except ValueError as error:
        reason = f"{location.origin(url)} redirects the delivery to {error}"
        raise DeliveryFailed(reason, "use a URL that does not redirect") from None
