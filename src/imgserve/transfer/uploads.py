"""The interface of the stores of uploaded pictures. ``engine/uploads`` decides how long each picture is kept.

A store of files belongs to one server; a bucket, and the queue's database, are shared by all servers of a queue.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from imgserve.request.source import Source
from imgserve.transfer.fetch import Fetch

# The next piece of a picture; empty after the last one.
NextChunk = Callable[[], Awaitable[bytes]]


class Written(msgspec.Struct, frozen=True):
    """A picture that is stored whole, and survives a power cut. ``sha256`` has 32 bytes."""

    size_bytes: int
    sha256: bytes


class UploadStore(Protocol):
    async def receive(self, upload_id: str, next_chunk: NextChunk) -> Written:
        """Store the chunks, until one is empty, under a new id. Nothing stays when it fails, but for a crash.

        Raises UploadNotStored, OutOfDescriptors, and as ``next_chunk`` does.
        """

    async def fetch(self, source: Source, into: Fetch, timeout_s: float, principal: str) -> None:
        """Copy the picture into ``into``. Raises SourceLost, SourceUnavailable, SourceTooLarge."""

    async def remove(self, *upload_ids: str) -> None:
        """Delete these pictures; a missing one counts as deleted, as does an id that is none. Raises UploadNotStored.

        After a fault some of them may be left.
        """

    async def orphans(self, known: frozenset[str]) -> frozenset[str]:
        """Ids of pictures that an earlier server left, and that are not ``known``. Called once, before any is received.

        None in a shared store, where they may be those that another server receives. Raises UploadNotStored.
        """

    async def aclose(self) -> None: ...
