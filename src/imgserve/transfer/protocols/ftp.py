"""FTP, with and without TLS: fetch a source; deliver under a temporary name and rename; delete. Called by ``dispatch``.

The target is never half written: the bytes go to a temporary name in its directory, then RNFR and RNTO put it in
place. For a server that refuses this there are other ways: ``ftp_ways`` has their order.
Directories are entered one by one by CWD (RFC 1738, 3.2.2), missing ones are made; ``ftp://host//x`` is absolute. A
directory whose parent may not be entered is entered by its whole path.
"""

import asyncio
from contextlib import suppress

import msgspec

from imgserve.blob import Blob
from imgserve.request.destination import Destination
from imgserve.request.source import Source
from imgserve.transfer.client import location
from imgserve.transfer.client.call import Answer, Call
from imgserve.transfer.client.curl import Client
from imgserve.transfer.client.replies import size_in
from imgserve.transfer.faults import Broken, DeliveryFailed, delivery_fault, source_fault
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.protocols import ftp_ways
from imgserve.transfer.protocols.ftp_servers import Naming, Server, Servers
from imgserve.transfer.protocols.ftp_ways import Target
from imgserve.transfer.protocols.http import time_left
from imgserve.transfer.write import Delivery, Write

_CLEANING_TIMEOUT_S = 5.0


class Ftp:
    """Remembers for a day what each server can do (``ftp_servers``)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._servers = Servers()

    async def fetch(self, source: Source, into: Fetch, timeout_s: float) -> None:
        """RETR into ``into``. Raises SourceUnavailable, SourceTooLarge, SourceRefused."""
        call = Call(method="RETR", url=source.url, timeout_s=timeout_s, fetch=into)
        try:
            await _entered(self._client, self._servers.of(source.url), call)
        except Broken as broken:
            raise source_fault(broken) from None

    async def deliver(self, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """Store and rename. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
        deadline = asyncio.get_running_loop().time() + write.timeout_s
        client, url = self._client, destination.url
        target, server = Target.of(url, write), self._servers.of(url)
        naming: Naming | None = server.naming
        refusals: list[Broken] = []
        while naming is not None:
            try:
                answer = await _stored(client, server, target, naming, blob, deadline, is_first=not refusals)
            except Broken as broken:
                refusals.append(broken)
                naming = ftp_ways.after(naming, broken)
            else:
                if naming == "final" or not await _is_unrenamed(client, server, target, naming, answer, blob, deadline):
                    server.naming = naming
                    return _verified(server, answer, blob, target)
                refusals.append(ftp_ways.unrenamed(str(location.origin(url))))
                naming = "final"
        if any(map(_has_begun, refusals)):
            with suppress(Broken):
                removal = (b"TYPE I", *target.removal("visible", is_own=True))
                await _command(client, server, target, removal, min(_CLEANING_TIMEOUT_S, time_left(deadline)))
        raise delivery_fault(ftp_ways.both(refusals[0], refusals[-1]))

    async def delete(self, destination: Destination, write: Write) -> None:
        """DELE; a missing file counts as deleted. Raises DeliveryFailed, DestinationRefused."""
        url = destination.url
        target = Target.of(url, write)
        removal = target.removal("visible", is_own=True)
        commands = (b"TYPE I", *removal, b"*DELE " + target.name, b"*SIZE " + target.name)
        try:
            answer = await _command(self._client, self._servers.of(url), target, commands, write.timeout_s)
        except Broken as broken:
            if broken.reply == 550:
                return
            raise delivery_fault(broken) from None
        deleted, size = answer.replies[-2:]
        # A 550 says "no such file" as well as "not allowed": only a file that still has a size is still there.
        if not deleted.startswith("2") and size.startswith("213"):
            raise DeliveryFailed(f"{location.origin(url)} answered {deleted[:3]} to the deletion")
        if deleted.startswith("4"):
            raise DeliveryFailed(f"{location.origin(url)} answered {deleted[:3]} to the deletion", is_retryable=True)


async def _stored(
    client: Client,
    server: Server,
    target: Target,
    naming: Naming,
    blob: Blob,
    deadline: float,
    *,
    is_first: bool,
) -> Answer:
    """Raises Broken."""
    call = Call(
        method="STOR",
        url=target.store_url(naming),
        timeout_s=time_left(deadline),
        body=blob,
        before=target.removal(naming, is_own=naming == "final"),
        after=target.renaming(naming),
    )
    try:
        return await _entered(client, server, call, is_first=is_first)
    except Broken as broken:
        if not ftp_ways.is_rename_over_refused(broken):
            raise
    commands = (b"TYPE I", b"DELE " + target.name, *target.renaming(naming))
    return await _command(client, server, target, commands, time_left(deadline))


async def _command(
    client: Client, server: Server, target: Target, commands: tuple[bytes, ...], timeout_s: float
) -> Answer:
    call = Call(method="COMMANDS", url=target.directory, timeout_s=timeout_s, after=commands)
    return await _entered(client, server, call)


async def _entered(client: Client, server: Server, call: Call, *, is_first: bool = True) -> Answer:
    """Perform in the way in which this server's directories can be entered. Raises Broken.

    The current directory of a kept session may be gone: after its refusal a fresh session is tried too.
    """
    deadline = asyncio.get_running_loop().time() + call.timeout_s
    is_whole = server.is_path_whole
    refusal = await _refusal_or_answer(client, call, deadline, is_whole=is_whole, is_fresh=is_whole)
    if isinstance(refusal, Broken) and is_first and _may_be_stale(refusal):
        refusal = await _refusal_or_answer(client, call, deadline, is_whole=is_whole, is_fresh=True)
    if isinstance(refusal, Broken) and refusal.step == "directory" and refusal.reply >= 500:
        other = await _refusal_or_answer(client, call, deadline, is_whole=not is_whole, is_fresh=True)
        if not isinstance(other, Broken) or other.step in ("file", "command"):
            server.is_path_whole, refusal = not is_whole, other
    if isinstance(refusal, Broken):
        raise refusal
    return refusal


async def _refusal_or_answer(
    client: Client, call: Call, deadline: float, *, is_whole: bool, is_fresh: bool
) -> Answer | Broken:
    try:
        return await client.perform(
            msgspec.structs.replace(call, timeout_s=time_left(deadline), is_path_whole=is_whole, is_fresh=is_fresh)
        )
    except Broken as broken:
        return broken


def _may_be_stale(refusal: Broken) -> bool:
    """Whether the session may be the cause. Temporary refusals are left to the job's next attempt."""
    return refusal.is_reused and refusal.reply >= 500 and refusal.step in ("directory", "file")


def _has_begun(refusal: Broken) -> bool:
    """Whether the server opened a temporary file: only a transfer brings a 1yz reply (RFC 959, 4.2)."""
    return refusal.step == "command" or any(line.startswith("1") for line in refusal.replies)


async def _is_unrenamed(
    client: Client, server: Server, target: Target, naming: Naming, answer: Answer, blob: Blob, deadline: float
) -> bool:
    """Whether the server said 250 to RNTO and did nothing: the temporary file is still there, with all its bytes."""
    told = answer.replies[-1] if answer.replies else ""
    if size_in(told) == blob.size or not told.startswith(("213", "550")):
        return False
    timeout_s = min(_CLEANING_TIMEOUT_S, time_left(deadline))
    try:
        left = await _command(client, server, target, (b"TYPE I", target.looking(naming)), timeout_s)
    except Broken:
        return False
    return size_in(left.replies[-1]) == blob.size


def _verified(server: Server, answer: Answer, blob: Blob, target: Target) -> Delivery:
    told_bytes = size_in(answer.replies[-1]) if answer.replies else None
    if told_bytes is None:
        return Delivery(is_verified=False)
    is_right = server.is_size_right(told_bytes, blob.size)
    # A placeholder's size refuses nobody: the final is looked at.
    if is_right is False and target.write.state != "placeholder":
        raise DeliveryFailed(
            f"{location.origin(target.url)} holds {told_bytes} bytes after a delivery of {blob.size}",
            is_retryable=True,
        )
    return Delivery(is_verified=bool(is_right))
