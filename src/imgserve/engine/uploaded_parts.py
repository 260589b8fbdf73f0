"""Uploaded pictures in the queue's own database, in parts, where all servers of the queue reach them. Called by the
transfers for sources, and by ``uploads``, which decides how long each one is kept.

One part of a picture is in memory at a time, whichever way it goes.
"""

import asyncio
import hashlib

from imgserve import failpoint
from imgserve.jobs.faults import SourceGone, StorageFailing
from imgserve.jobs.model import UPLOAD_PART_BYTES
from imgserve.jobs.protocol import UploadParts
from imgserve.request.source import Source, upload_id_of
from imgserve.timeout import limit, waiting
from imgserve.transfer.faults import SourceLost, SourceUnavailable, UploadNotStored
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.uploads import NextChunk, Written

_STEP_BYTES = 128 * 1024


class UploadedParts:
    def __init__(self, parts: UploadParts) -> None:
        self._parts = parts

    async def receive(self, upload_id: str, next_chunk: NextChunk) -> Written:
        """Store the chunks, until one is empty. Raises UploadNotStored, StorageFailing, and as ``next_chunk`` does."""
        digest, size_bytes, part = hashlib.sha256(), 0, 0
        held = bytearray()
        try:
            while chunk := await next_chunk():
                held += chunk
                size_bytes += len(chunk)
                while len(held) > UPLOAD_PART_BYTES:
                    data = bytes(held[:UPLOAD_PART_BYTES])
                    del held[:UPLOAD_PART_BYTES]
                    digest.update(data)
                    await self._parts.add(upload_id, part, data, is_last=False)
                    part += 1
            digest.update(held)
            await self._parts.add(upload_id, part, bytes(held), is_last=True)
        except SourceGone as gone:
            raise UploadNotStored(gone.detail, "send it again") from None
        failpoint.reach("upload_written")
        return Written(size_bytes, digest.digest())

    async def fetch(self, source: Source, into: Fetch, timeout_s: float, _principal: str = "") -> None:
        """Raises SourceLost, SourceUnavailable, SourceTooLarge."""
        try:
            async with limit(timeout_s):
                await self._copy(upload_id_of(source), into)
        except StorageFailing as failing:
            raise SourceUnavailable("The uploaded picture cannot be read", failing.hint, is_retryable=True) from failing
        except TimeoutError:
            raise SourceUnavailable("The uploaded picture could not be read in time", is_retryable=True) from None

    async def remove(self, *upload_ids: str) -> None:
        """Raises StorageFailing."""
        await self._parts.remove(upload_ids)

    async def orphans(self, _known: frozenset[str]) -> frozenset[str]:
        return frozenset()

    async def aclose(self) -> None:
        """The parts are closed with their queue."""

    async def _copy(self, upload_id: str, into: Fetch) -> None:
        """Raises SourceLost, StorageFailing, SourceTooLarge."""
        size_bytes = await self._parts.size_bytes(upload_id)
        if size_bytes is None:
            raise _lost()
        with waiting():
            await into.reserve(size_bytes)
        part = 0
        while size_bytes > 0:
            data = await self._parts.read(upload_id, part)
            if not data:
                raise _lost()
            for start in range(0, len(data), _STEP_BYTES):
                into.write(data[start : start + _STEP_BYTES])
                await asyncio.sleep(0)
            size_bytes -= len(data)
            part += 1


def _lost() -> SourceLost:
    hint = "the queue was restored without the parts of uploads: send the picture again"
    return SourceLost("The uploaded picture is not in the queue's database", hint)
