"""Objects in buckets that speak S3: fetch a source; write a result under conditions; delete. Called by ``dispatch``.

A credential of the settings says which server has a bucket. Each write looks at what lies there, and is sent under the
ETag that it found, so that one which arrives late replaces no newer picture. If the condition does not hold, or if the
answer is lost, it looks again (``s3_object``).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from imgserve.blob import Blob
from imgserve.limiter import Key, Limiter
from imgserve.request import url
from imgserve.request.destination import Destination
from imgserve.request.source import Source
from imgserve.timeout import limit, waiting
from imgserve.transfer.client import location
from imgserve.transfer.config import Config
from imgserve.transfer.credentials import Credentials, S3Access
from imgserve.transfer.faults import ExchangeFailed, SourceNotFound, delivering, fetching
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.protocols.s3_object import (
    Denied,
    Expected,
    Missing,
    NotAsExpected,
    StoredObject,
    Unanswered,
    expected,
    metadata_of,
)
from imgserve.transfer.write import Delivery, Write

if TYPE_CHECKING:
    from imgserve.transfer.protocols.s3_bucket import Bucket

_MAX_BUCKETS = 256
# Pieces have up to 800 KB, and to keep so much takes 4 ms.
_STEP_BYTES = 128 * 1024
# Of look and PUT, if others write to the same key meanwhile, or if answers are lost.
_REPEATS = 2


class S3:
    """``slots`` are those of all transfers."""

    def __init__(self, config: Config, slots: Limiter, credentials: Credentials) -> None:
        self._config = config
        self._slots = slots
        self._credentials = credentials
        self._authorities = Path(config.ca_file).read_bytes() if config.ca_file else b""
        self._buckets: dict[tuple[S3Access, str], Bucket] = {}

    async def fetch(self, source: Source, into: Fetch, timeout_s: float, principal: str) -> None:
        """Read the object into ``into``.

        Raises SourceNotFound, SourceUnavailable, SourceTooLarge, CredentialNotAllowed.
        """
        bucket = await self._bucket(source, principal)
        slot = self._slot(bucket)
        with fetching:
            try:
                async with limit(timeout_s):
                    with waiting():
                        await self._slots.acquire(slot)
                    try:
                        await _read(bucket, _key(source), into)
                    finally:
                        self._slots.release(slot)
            except Missing as missing:
                raise SourceNotFound(missing.detail, missing.hint) from None
            except TimeoutError:
                raise _late(bucket) from None

    async def deliver(self, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """Write the object. The store compares it with its SHA-256, which the request's signature covers.

        Raises DeliveryFailed, DeliveryUnknown, NewerThere, NotOurs, CredentialNotAllowed.
        """
        metadata = metadata_of(write, destination.sends.headers)
        bucket = await self._bucket(destination, write.principal)
        writing = _Writing(bucket, _key(destination), blob, metadata, write)
        async with self._in_time(bucket, write, lambda: writing.is_sent):
            return Delivery(is_verified=True, etag=await writing.put())

    async def delete(self, destination: Destination, write: Write) -> None:
        """Delete imgserve's placeholder or failure picture. obstore deletes without a condition, so a write by others
        may come between look and deletion.

        Raises DeliveryFailed, DeliveryUnknown, NewerThere, NotOurs, CredentialNotAllowed.
        """
        bucket, key = await self._bucket(destination, write.principal), _key(destination)
        async with self._in_time(bucket, write):
            current = await bucket.look(key)
            if current is not None:
                expected(current, write)
                await bucket.delete(key)

    async def look(self, destination: Destination, write: Write) -> StoredObject | None:
        """The object that is there. Raises DeliveryFailed, CredentialNotAllowed."""
        bucket = await self._bucket(destination, write.principal)
        async with self._in_time(bucket, write):
            return await bucket.look(_key(destination))

    async def size_of(self, destination: Destination, write: Write) -> int | None:
        """None if there is no object. Raises as ``look``."""
        current = await self.look(destination, write)
        return None if current is None else current.size_bytes

    def real_key(self, place: Source | Destination, principal: str) -> str:
        """The identity of an object: its server, bucket and key. Raises CredentialNotAllowed."""
        server = location.origin(self._access(place, principal).url)
        return url.parse(place.url).key.replace("://", f"://{server}/", 1)

    def _access(self, place: Source | Destination, principal: str) -> S3Access:
        """Raises CredentialNotAllowed."""
        return self._credentials.s3_for(place.sends.credential, principal, place.url)

    async def _bucket(self, place: Source | Destination, principal: str) -> "Bucket":
        """Raises CredentialNotAllowed."""
        access = self._access(place, principal)
        bucket = self._buckets.pop((access, place.host), None)
        if bucket is None:
            # 4 to 20 ms: obstore is imported, and certificates are read.
            bucket = await asyncio.to_thread(_opened, access, place.host, self._config, self._authorities)
        # The least recently used is dropped; of two that were opened side by side one stays.
        bucket = self._buckets.setdefault((access, place.host), bucket)
        if len(self._buckets) > _MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return bucket

    def _slot(self, bucket: "Bucket") -> Key:
        return Key(str(bucket.server), self._config.max_per_host)

    @asynccontextmanager
    async def _in_time(
        self, bucket: "Bucket", write: Write, is_sent: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[None]:
        """Hold a transfer slot; all within the write's time. Raises the faults of a delivery."""
        slot, has_slot = self._slot(bucket), False
        with delivering:
            try:
                async with asyncio.timeout(write.timeout_s):
                    await self._slots.acquire(slot)
                    has_slot = True
                    yield
            except TimeoutError:
                if not has_slot:
                    raise ExchangeFailed(
                        f"No transfer slot to {bucket.server} was free in time", is_busy=True
                    ) from None
                raise _late(bucket, is_sent=is_sent()) from None
            finally:
                if has_slot:
                    self._slots.release(slot)


def _opened(access: S3Access, name: str, config: Config, authorities: bytes) -> "Bucket":
    from imgserve.transfer.protocols.s3_bucket import Bucket  # few servers need obstore, which takes memory

    return Bucket(access, name, config, authorities)


def _late(bucket: "Bucket", *, is_sent: bool = False) -> ExchangeFailed:
    return ExchangeFailed(f"{bucket.server} took too long", is_retryable=True, is_late=True, is_sent=is_sent)


class _Writing:
    """One write under way. ``is_sent``: the store may have carried out a PUT whose answer is missing."""

    def __init__(self, bucket: "Bucket", key: str, blob: Blob, metadata: Mapping[str, str], write: Write) -> None:
        self.bucket = bucket
        self.is_sent = False
        self._key = key
        self._blob = blob
        self._metadata = metadata
        self._write = write

    async def put(self) -> str:
        """The ETag of the object. Raises ExchangeFailed, NewerThere, NotOurs."""
        if self._write.etag:
            with suppress(NotAsExpected, Unanswered):
                return await self._put(self._write.etag)
        is_there = False
        for repeats in range(_REPEATS + 1):
            current = await self._look(is_there=is_there)
            if current is not None and current.is_from(self._write):
                return current.etag
            try:
                return await self._put(expected(current, self._write, is_first=repeats == 0))
            except NotAsExpected:
                is_there = True
            except Unanswered:
                if repeats == _REPEATS:
                    raise
        detail = f"Others write to this place at {self.bucket.server} all the time"
        raise ExchangeFailed(detail, is_retryable=True, is_sent=self.is_sent)

    async def _look(self, *, is_there: bool) -> StoredObject | None:
        """``is_there``: an object is known to be. Raises Unanswered, Denied."""
        try:
            return await self.bucket.look(self._key)
        except ExchangeFailed as failure:
            # S3's answer for an object that is not there, to a key without the right to list the bucket.
            if isinstance(failure, Denied) and not is_there and self._write.state != "failed":
                return None
            failure.is_sent = self.is_sent
            raise

    async def _put(self, etag: Expected) -> str:
        """Raises NotAsExpected, ExchangeFailed."""
        was_sent, self.is_sent = self.is_sent, True
        try:
            return await self.bucket.put(self._key, self._blob, self._metadata, etag)
        except Unanswered as failure:
            failure.is_sent = True
            raise
        except (NotAsExpected, ExchangeFailed):
            self.is_sent = was_sent
            raise


def _key(place: Source | Destination) -> str:
    return unquote(place.path.removeprefix("/"))


async def _read(bucket: "Bucket", key: str, into: Fetch) -> None:
    """Raises Missing, Denied, Unanswered, SourceTooLarge."""
    reading = await bucket.read(key, into.held)
    if reading is None:
        into.version, into.is_unchanged = into.held, True
        return
    room = into.reserve(reading.size_bytes)
    if not room.done():
        # The store would end the answer meanwhile.
        await reading.pieces.aclose()
        with waiting():
            await room
        reserved_bytes, reading = reading.size_bytes, await bucket.read(key)
        if reading is None or reading.size_bytes != reserved_bytes:
            raise ExchangeFailed("The object was replaced while memory for it was waited for", is_retryable=True)
    into.version = reading.version
    async with aclosing(reading.pieces):
        async for piece in reading.pieces:
            for start in range(0, len(piece), _STEP_BYTES):
                into.write(piece[start : start + _STEP_BYTES])
                await asyncio.sleep(0)
