"""Single files: an entry read and verified, bytes written, a small file replaced durably. Blocking."""

import os
from collections.abc import Iterator
from pathlib import Path

from imgserve.engine.cache.body import READ_BYTES, OpenBody
from imgserve.engine.cache.entry import MAX_HEADER_BYTES, Buffer, Damaged, Header, Lead, Sum, body_at, lead_of

# The first read of a file has the whole header. Most renditions are no larger, and then it is the only one.
_FIRST_READ_BYTES = 2 * MAX_HEADER_BYTES
# A header rarely takes more than this. Longer ones are read again.
_HEADER_READ_BYTES = 1024

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def verified(fd: int, most_bytes: int) -> tuple[Header, bytes | OpenBody]:
    """A whole entry. A body of more than ``most_bytes`` keeps ``fd`` open. Raises Damaged, OSError."""
    size = os.fstat(fd).st_size
    start = os.pread(fd, max(min(size, _FIRST_READ_BYTES), 1), 0)
    lead = lead_of(start)
    if size != lead.file_bytes:
        raise Damaged("its length is wrong")
    total = Sum(lead)
    if lead.body_bytes > most_bytes:
        for piece in _pieces(fd, lead):
            total.add(piece)
        total.check()
        return lead.header, OpenBody(fd, lead.body_at, lead.body_bytes)
    rest = b"" if size == len(start) else os.pread(fd, size - len(start), len(start))
    body = start[lead.body_at :] + rest if rest else start[lead.body_at :]
    total.add(body)
    total.check()
    return lead.header, body


def _pieces(fd: int, lead: Lead) -> Iterator[bytes]:
    """By reads and not by a mapping: a mapped file that is cut meanwhile would end the process (SIGBUS)."""
    position = lead.body_at
    while position < lead.file_bytes and (piece := os.pread(fd, READ_BYTES, position)):
        yield piece
        position += len(piece)


def header_of(fd: int) -> Header:
    """The header of an entry whose body is not verified. Raises Damaged, OSError."""
    start = os.pread(fd, _HEADER_READ_BYTES, 0)
    end = body_at(start)
    return lead_of(start if end <= len(start) else os.pread(fd, end, 0)).header


def write(fd: int, *pieces: Buffer) -> None:
    """Write all pieces. Raises OSError."""
    waiting = [memoryview(piece) for piece in pieces if len(piece)]
    while waiting:
        written = os.writev(fd, waiting)
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.pop(0))
        if waiting:
            waiting[0] = waiting[0][written:]


def sync(directory: Path) -> None:
    """Make the names in it durable. Raises OSError."""
    fd = os.open(directory, DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_durably(path: Path, data: bytes) -> None:
    """Write a small file anew: after a power cut the old one is there or the new one. Raises OSError."""
    temporary = path.with_name(f"{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.rename(path)
    sync(path.parent)
