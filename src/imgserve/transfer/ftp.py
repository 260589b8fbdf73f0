"""FTP, with and without TLS: fetch a source; deliver under a temporary name and rename; delete. Called by ``dispatch``.

The target is never half written: the bytes go to a temporary name in its directory, then RNFR and RNTO put it in
place. A server that will not rename over a file gets DELE and RNTO; one that does not know RNFR gets a plain STOR.
Directories are CWDed into one by one (RFC 1738, 3.2.2), missing ones are made; ``ftp://host//x`` is absolute.
"""

import asyncio
from contextlib import suppress
from urllib.parse import unquote_to_bytes

import msgspec

from imgserve.blob import Blob
from imgserve.transfer import location
from imgserve.transfer.call import Answer, Call
from imgserve.transfer.curl import Client
from imgserve.transfer.faults import Broken, DeliveryFailed, delivery_fault, source_fault
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.http import time_left
from imgserve.transfer.write import Delivery, Write

_UNKNOWN_COMMAND = frozenset({500, 502, 504})
_CLEANING_TIMEOUT_S = 5.0


class _Target(msgspec.Struct, frozen=True):
    """``directory`` is a URL that ends in a slash; ``name`` is decoded, as commands want it."""

    url: str
    directory: str
    name: bytes


async def fetch(client: Client, url: str, into: Fetch, timeout_s: float) -> None:
    """RETR into ``into``. Raises SourceUnavailable, SourceTooLarge, SourceRefused."""
    try:
        await client.perform(Call(method="RETR", url=url, timeout_s=timeout_s, fetch=into))
    except Broken as broken:
        raise source_fault(broken) from None


async def deliver(client: Client, url: str, blob: Blob, write: Write) -> Delivery:
    """Store and rename. Raises DeliveryFailed, DeliveryUnknown, DestinationRefused."""
    deadline = asyncio.get_running_loop().time() + write.timeout_s
    target = _target(url)
    temporary = write.temporary_name.encode()
    call = Call(
        method="STOR",
        url=target.directory + write.temporary_name,
        timeout_s=time_left(deadline),
        body=blob,
        before=tuple(b"*DELE " + name.encode() for name in write.leftover_names),
        after=(b"RNFR " + temporary, b"RNTO " + target.name, b"*SIZE " + target.name),
    )
    try:
        answer = await client.perform(call)
    except Broken as broken:
        answer = await _otherwise(client, target, temporary, blob, deadline, broken)
    return _verified(answer, blob, url)


async def delete(client: Client, url: str, timeout_s: float) -> None:
    """DELE; what is not there counts as deleted. Raises DeliveryFailed, DestinationRefused."""
    target = _target(url)
    commands = (b"TYPE I", b"*DELE " + target.name, b"*SIZE " + target.name)
    try:
        answer = await _command(client, target, commands, timeout_s)
    except Broken as broken:
        if broken.reply == 550:
            return
        raise delivery_fault(broken) from None
    deleted, size = _final_replies(answer.replies)[-2:]
    # A 550 says "no such file" as well as "not allowed": only a file that still has a size is still there.
    if not deleted.startswith("2") and size.startswith("213"):
        raise DeliveryFailed(f"{location.origin(url)} answered {deleted[:3]} to the deletion")
    if deleted.startswith("4"):
        raise DeliveryFailed(f"{location.origin(url)} answered {deleted[:3]} to the deletion", is_retryable=True)


async def _otherwise(
    client: Client, target: _Target, temporary: bytes, blob: Blob, deadline: float, broken: Broken
) -> Answer:
    """One of the other two ways; when there is none, or it fails too, the temporary file goes and the fault comes."""
    try:
        return await _without_rename_over(client, target, temporary, blob, deadline, broken)
    except Broken as last:
        if _has_begun(broken):
            with suppress(Broken):
                timeout_s = min(_CLEANING_TIMEOUT_S, time_left(deadline))
                await _command(client, target, (b"TYPE I", b"*DELE " + temporary), timeout_s)
        raise delivery_fault(last) from None


async def _without_rename_over(
    client: Client, target: _Target, temporary: bytes, blob: Blob, deadline: float, broken: Broken
) -> Answer:
    """What the reply to RNFR or RNTO asks for. Raises Broken: the first one, if it asks for nothing."""
    last = _final_replies(broken.replies)[-2:]
    if broken.reply >= 500 and len(last) == 2 and last[0].startswith("350"):
        rename = (b"RNFR " + temporary, b"RNTO " + target.name)
        commands = (b"TYPE I", b"DELE " + target.name, *rename, b"*SIZE " + target.name)
        return await _command(client, target, commands, time_left(deadline))
    if broken.reply in _UNKNOWN_COMMAND and len(last) == 2 and last[0].startswith("2"):
        return await _plain(client, target, temporary, blob, deadline)
    raise broken


async def _plain(client: Client, target: _Target, temporary: bytes, blob: Blob, deadline: float) -> Answer:
    call = Call(
        method="STOR",
        url=target.url,
        timeout_s=time_left(deadline),
        body=blob,
        before=(b"*DELE " + temporary,),
        after=(b"*SIZE " + target.name,),
    )
    return await client.perform(call)


async def _command(client: Client, target: _Target, commands: tuple[bytes, ...], timeout_s: float) -> Answer:
    return await client.perform(Call(method="COMMANDS", url=target.directory, timeout_s=timeout_s, after=commands))


def _target(url: str) -> _Target:
    """Raises DeliveryFailed for a name that cannot be sent as part of a command."""
    directory, _, last = url.rpartition("/")
    name = unquote_to_bytes(last)
    if not name or any(byte < 0x20 or byte == 0x7F for byte in unquote_to_bytes(url)):
        raise DeliveryFailed("The FTP target has no file name, or a control character in its path")
    return _Target(url, directory + "/", name)


def _has_begun(broken: Broken) -> bool:
    """Whether the server opened the temporary file: only a transfer brings a 1yz reply (RFC 959, 4.2)."""
    return any(line.startswith("1") for line in _final_replies(broken.replies))


def _final_replies(replies: tuple[str, ...]) -> list[str]:
    """The last line of each reply: three digits and a blank (RFC 959, 4.2)."""
    return [line for line in replies if line[:3].isdigit() and line[3:4] == " "]


def _verified(answer: Answer, blob: Blob, url: str) -> Delivery:
    size = _final_replies(answer.replies)[-1:]
    if not size or not size[0].startswith("213"):
        return Delivery(is_verified=False)
    told = size[0][4:].strip()
    if told.isdigit() and int(told) != blob.size:
        raise DeliveryFailed(
            f"{location.origin(url)} holds {told} bytes after a delivery of {blob.size}", is_retryable=True
        )
    return Delivery(is_verified=told.isdigit())
