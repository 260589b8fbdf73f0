"""Uploaded pictures as objects of a bucket that all servers of a queue share. Called by ``dispatch`` for sources, and
by ``engine/uploads``, which decides how long each one is kept.

A picture is held in memory, and counted in the budget for sources, until the bucket has it: it goes in one PUT, so that
a crash leaves no unfinished object. The bucket is the operator's own, so clients are not told where it is.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable

from imgserve import failpoint
from imgserve.errors import ImgserveError
from imgserve.request.destination import Destination, DestinationTemplate
from imgserve.request.principal import OPERATOR_ID
from imgserve.request.source import Source, parse_source, upload_id_of
from imgserve.request.tags import EXAMPLE
from imgserve.telemetry import logs
from imgserve.transfer.digest import sha256_of
from imgserve.transfer.faults import SourceLost, SourceNotFound, TransferError, UploadNotStored
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.protocols.s3 import S3
from imgserve.transfer.uploads import NextChunk, Written
from imgserve.transfer.write import Write

_ID = re.compile(r"[0-9a-f]{32}")
# Starts a transfer into memory that the budget for sources has room for.
Receive = Callable[[Callable[[Fetch], Awaitable[None]]], Fetch]


class UploadedObjects:
    """Objects below ``place``, a URL such as ``s3://bucket/uploads``, each named by its id.

    A credential of the settings is for this URL. ``timeout_s`` is for one PUT or DELETE.
    """

    def __init__(self, place: str, s3: S3, receive: Receive, timeout_s: float) -> None:
        self._place = place.rstrip("/")
        self._s3 = s3
        self._receive = receive
        self._timeout_s = timeout_s

    async def receive(self, upload_id: str, next_chunk: NextChunk) -> Written:
        """Put the chunks into a new object. Raises UploadNotStored, OutOfDescriptors, and as ``next_chunk`` does."""

        async def upload(into: Fetch) -> None:
            await into.reserve(None)
            while chunk := await next_chunk():
                into.write(chunk)

        with self._receive(upload) as fetch:
            picture = await fetch.finish()
            written = Written(picture.size, await sha256_of(picture))
            try:
                await self._s3.deliver(self._object(upload_id), picture, self._write(upload_id))
            except TransferError as error:
                raise _not_stored(error, "stored") from error
        failpoint.reach("upload_written")
        return written

    async def fetch(self, source: Source, into: Fetch, timeout_s: float, _principal: str = "") -> None:
        """Raises SourceLost, SourceUnavailable, SourceTooLarge, CredentialNotAllowed."""
        upload_id = upload_id_of(source)
        if not _ID.fullmatch(upload_id):
            raise SourceLost("The stored job names no uploaded picture")
        try:
            await self._s3.fetch(parse_source(self._url(upload_id)), into, timeout_s, OPERATOR_ID)
        except SourceNotFound:
            hint = "somebody has deleted it from the bucket of uploaded pictures: send the picture again"
            raise SourceLost("The object of the uploaded picture is missing", hint) from None

    async def remove(self, *upload_ids: str) -> None:
        """Raises UploadNotStored, when all of them have been tried."""
        deletions = (
            self._s3.delete(self._object(upload_id), self._write(upload_id))
            for upload_id in upload_ids
            if _ID.fullmatch(upload_id)
        )
        for result in await asyncio.gather(*deletions, return_exceptions=True):
            if isinstance(result, ImgserveError):
                raise _not_stored(result, "deleted") from result
            if result is not None:
                raise result

    async def ask(self) -> None:
        """Look for an object that is not there. Raises TransferError if the bucket does not answer, or refuses."""
        await self._s3.look(self._object("imgserve-check"), self._write("imgserve-check"))

    async def orphans(self, _known: frozenset[str]) -> frozenset[str]:
        return frozenset()

    async def aclose(self) -> None:
        """The connections are those of all transfers."""

    def _url(self, upload_id: str) -> str:
        return f"{self._place}/{upload_id}"

    def _object(self, upload_id: str) -> Destination:
        return DestinationTemplate("s3", self._url(upload_id)).fill(EXAMPLE)

    def _write(self, upload_id: str) -> Write:
        return Write("final", "application/octet-stream", upload_id, 0, self._timeout_s, principal=OPERATOR_ID)


def _not_stored(error: ImgserveError, verb: str) -> UploadNotStored:
    logs.event("upload_bucket_failing", level=logs.WARNING, code=error.code, detail=error.detail)
    return UploadNotStored(f"the uploaded picture cannot be {verb}", "try again later; the server's log says more")
