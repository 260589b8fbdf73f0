"""FTP, with and without TLS: fetch a source; deliver under a temporary name and rename; delete. Called by ``dispatch``.

No reader sees half a file: the bytes go to a temporary name in its directory, then RNFR and RNTO rename it. For servers
that refuse this ``ftp_naming`` has other ways. Directories are entered one by one by CWD (RFC 1738, 3.2.2), missing
ones are made; ``ftp://host//x`` is absolute. A directory whose parent may not be entered is entered by its whole path.
"""

import math
from contextlib import suppress
from typing import NamedTuple

import msgspec

from imgserve.blob import Blob
from imgserve.request.destination import Destination
from imgserve.request.source import Source
from imgserve.transfer.client import location
from imgserve.transfer.client.call import Answer, Call, deadline_in
from imgserve.transfer.client.curl import Client
from imgserve.transfer.client.replies import size_in
from imgserve.transfer.faults import USE_REPLACE, CannotAsk, DeliveryFailed, ExchangeFailed, delivery_fault, fetching
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.protocols import ftp_naming
from imgserve.transfer.protocols.ftp_naming import Target
from imgserve.transfer.protocols.ftp_servers import Naming, Server, Servers
from imgserve.transfer.write import Delivery, Write

_CLEANING_TIMEOUT_S = 5.0


class Ftp:
    """Remembers for a day what each server can do (``ftp_servers``)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._servers = Servers()

    async def fetch(self, source: Source, into: Fetch, timeout_s: float, _principal: str = "") -> None:
        """RETR into ``into``. Raises SourceNotFound, SourceUnavailable, SourceTooLarge, SourceRefused."""
        call = Call(method="RETR", url=source.url, deadline_s=deadline_in(timeout_s), fetch=into)
        with fetching:
            await _perform(self._client, self._servers.of(source.url), call)

    async def deliver(self, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """Store and rename. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
        return await self._file(destination, write).store(blob)

    async def delete(self, destination: Destination, write: Write) -> None:
        """DELE; a missing file counts as deleted. Raises DeliveryFailed, DestinationRefused."""
        await self._file(destination, write).delete()

    async def size_of(self, destination: Destination, write: Write) -> int | None:
        """The size that the server tells, 0 where it tells none; None if there is no file.

        Raises DeliveryFailed, DestinationRefused, CannotAsk.
        """
        return await self._file(destination, write).size()

    def _file(self, destination: Destination, write: Write) -> "_File":
        url = destination.url
        return _File(self._client, self._servers.of(url), Target.of(url, write), deadline_in(write.timeout_s))


class _File(NamedTuple):
    """One file to be written or deleted."""

    client: Client
    server: Server
    target: Target
    deadline_s: float

    async def store(self, blob: Blob) -> Delivery:
        """Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
        naming: Naming | None = self.server.naming
        refusals: list[ExchangeFailed] = []
        while naming is not None:
            try:
                answer = await self._store_as(naming, blob, is_first=not refusals)
            except ExchangeFailed as refusal:
                refusals.append(refusal)
                naming = ftp_naming.next_naming(naming, refusal)
            else:
                self.server.naming = naming
                return self._verify(answer, blob.size)
        if any(map(_has_stored, refusals)):
            with suppress(ExchangeFailed):
                await self._command(*self.target.removal("visible", is_own=True), timeout_s=_CLEANING_TIMEOUT_S)
        raise delivery_fault(ftp_naming.combine(refusals[0], refusals[-1]))

    async def delete(self) -> None:
        """Raises DeliveryFailed, DestinationRefused."""
        target = self.target
        removal = target.removal("visible", is_own=True)
        try:
            answer = await self._command(*removal, b"*DELE " + target.name, b"*SIZE " + target.name)
        except ExchangeFailed as failure:
            if failure.reply == 550:
                return
            raise delivery_fault(failure) from None
        reply, size = answer.replies[-2:]
        # A 550 means "no such file" as well as "not allowed": only a file that still has a size is still there.
        if reply.startswith("4") or (not reply.startswith("2") and size.startswith("213")):
            detail = f"{location.origin(target.url)} answered {reply[:3]} to the deletion"
            raise DeliveryFailed(detail, is_retryable=reply.startswith("4"))

    async def size(self) -> int | None:
        """Raises DeliveryFailed, DestinationRefused, CannotAsk."""
        try:
            answer = await self._command(b"*SIZE " + self.target.name, b"*MDTM " + self.target.name)
        except ExchangeFailed as failure:
            if failure.reply == 550:
                return None
            raise delivery_fault(failure) from None
        replies = answer.replies[-2:]
        if any(reply.startswith("213") for reply in replies):
            return size_in(replies[0]) or 0
        if any(reply.startswith("550") for reply in replies):
            return None
        detail = f"{location.origin(self.target.url)} knows neither SIZE nor MDTM (it answered {replies[0][:3]})"
        raise CannotAsk(detail, USE_REPLACE)

    async def _store_as(self, naming: Naming, blob: Blob, *, is_first: bool) -> Answer:
        """Raises ExchangeFailed."""
        target = self.target
        call = Call(
            method="STOR",
            url=target.store_url(naming),
            deadline_s=self.deadline_s,
            body=blob,
            before=target.removal(naming, is_own=naming == "final"),
            after=target.renaming(naming),
        )
        try:
            answer = await _perform(self.client, self.server, call, is_first=is_first)
        except ExchangeFailed as failure:
            if not ftp_naming.is_rename_over_refused(failure):
                raise
            answer = await self._command(b"DELE " + target.name, *target.renaming(naming))
        if naming != "final" and await self._is_unrenamed(naming, answer, blob.size):
            raise ftp_naming.rename_ignored(str(location.origin(target.url)))
        return answer

    async def _is_unrenamed(self, naming: Naming, answer: Answer, size_bytes: int) -> bool:
        """Whether the server answered 250 to RNTO and did nothing: the temporary file is still there, complete."""
        size = answer.replies[-1] if answer.replies else ""
        if size_in(size) == size_bytes or not size.startswith(("213", "550")):
            return False
        try:
            answer = await self._command(self.target.temporary_size(naming), timeout_s=_CLEANING_TIMEOUT_S)
        except ExchangeFailed:
            return False
        return size_in(answer.replies[-1]) == size_bytes

    async def _command(self, *commands: bytes, timeout_s: float = math.inf) -> Answer:
        """Raises ExchangeFailed."""
        call = Call(
            method="COMMANDS",
            url=self.target.directory,
            deadline_s=min(self.deadline_s, deadline_in(timeout_s)),
            after=(b"TYPE I", *commands),
        )
        return await _perform(self.client, self.server, call)

    def _verify(self, answer: Answer, size_bytes: int) -> Delivery:
        reported_bytes = size_in(answer.replies[-1]) if answer.replies else None
        if reported_bytes is None:
            return Delivery(is_verified=False)
        is_right = self.server.is_size_right(reported_bytes, size_bytes)
        # A placeholder's wrong size is no fault: the final's is checked.
        if is_right is False and self.target.write.state != "placeholder":
            detail = f"{location.origin(self.target.url)} holds {reported_bytes} bytes after a delivery of {size_bytes}"
            raise DeliveryFailed(detail, is_retryable=True)
        return Delivery(is_verified=bool(is_right))


async def _perform(client: Client, server: Server, call: Call, *, is_first: bool = True) -> Answer:
    """Perform in the way in which this server's directories can be entered. Raises ExchangeFailed.

    The current directory of a pooled session may be gone: after its refusal a new session is tried too.
    """
    is_whole = server.is_path_whole
    outcome = await _outcome(client, call, is_whole=is_whole, is_fresh=is_whole)
    if isinstance(outcome, ExchangeFailed) and is_first and _may_be_stale(outcome):
        outcome = await _outcome(client, call, is_whole=is_whole, is_fresh=True)
    if isinstance(outcome, ExchangeFailed) and outcome.step == "directory" and outcome.reply >= 500:
        other = await _outcome(client, call, is_whole=not is_whole, is_fresh=True)
        if not isinstance(other, ExchangeFailed) or other.step in ("file", "command"):
            server.is_path_whole, outcome = not is_whole, other
    if isinstance(outcome, ExchangeFailed):
        raise outcome
    return outcome


async def _outcome(client: Client, call: Call, *, is_whole: bool, is_fresh: bool) -> Answer | ExchangeFailed:
    try:
        return await client.perform(msgspec.structs.replace(call, is_path_whole=is_whole, is_fresh=is_fresh))
    except ExchangeFailed as failure:
        return failure


def _may_be_stale(refusal: ExchangeFailed) -> bool:
    """Whether the session may be the cause. Temporary refusals are left to the job's next attempt."""
    is_of_session = refusal.step in ("directory", "file") and not _has_opened(refusal)
    return refusal.is_reused and refusal.reply >= 500 and is_of_session


def _has_stored(refusal: ExchangeFailed) -> bool:
    return refusal.step == "command" or _has_opened(refusal)


def _has_opened(refusal: ExchangeFailed) -> bool:
    """Whether the server opened the file, so that bytes may have come or gone: only a transfer brings a 1yz reply
    (RFC 959, 4.2).
    """
    return any(line.startswith("1") for line in refusal.replies)
